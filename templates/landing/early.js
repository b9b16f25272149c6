// Before any other script of the page. Without the storage the address is the only place that keeps the link.
{
  const link = linkIn(window.location.href);
  if (link.ticket && keepLink(link)) {
    window.history.replaceState(null, "", withoutLink(window.location.href));
  }
}
