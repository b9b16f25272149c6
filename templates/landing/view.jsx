function AcceptToken({ replaceAddress } /*: { replaceAddress: (address: string) => void } */) {
  const clerk = useClerk();
  const { isLoaded } = useUser();
  const [state, setState] = useState/*<State>*/({ name: "loading" });
  const link = useRef/*<Link | null>*/(null);
  const landing = useRef/*<ReturnType<typeof makeLanding> | null>*/(null);
  const title = useRef/*<HTMLHeadingElement | null>*/(null);
  const words /*: Words */ = STATES[state.name];
  const onward = onwardFrom(state);

  // Before Clerk is loaded, and before the site's own scripts that wait for the page.
  useEffect(() => {
    link.current ??= takeLink(replaceAddress);
    window.addEventListener("hashchange", loadNextLink);
    return () => window.removeEventListener("hashchange", loadNextLink);
  }, [replaceAddress]);

  useEffect(() => {
    if (!isLoaded || landing.current || !link.current) {
      return;
    }
    landing.current = makeLanding({ link: link.current, display: setState, forget: forgetLink });
    landing.current.begin(clerk);
  }, [isLoaded, clerk]);

  useEffect(() => {
    const giveUp = () => setState((now) => (now.name === "loading" ? { name: "unreachable" } : now));
    const timer = setTimeout(giveUp, PATIENCE);
    return () => clearTimeout(timer);
  }, []);

  useEffect(() => {
    if (!onward) {
      return;
    }
    const timer = setTimeout(() => window.location.assign(onward), LINGER);
    return () => clearTimeout(timer);
  }, [onward]);

  function press(action /*: string */) {
    // The button goes away with its state: the keyboard's place moves to what is said instead.
    title.current?.focus();
    void landing.current?.press(action);
  }

  return (
    <main className="landing">
      <style dangerouslySetInnerHTML={{ __html: STYLE }} />
      <section
        className="landing-card"
        aria-labelledby="landing-title"
        data-state={state.name}
        data-tone={words.tone}
      >
        <span className="landing-icon" aria-hidden="true">
          <svg viewBox="0 0 24 24">
            <path d={ICONS[words.icon]} />
          </svg>
        </span>
        <div role="status" aria-live="polite" aria-atomic="true">
          <h1 className="landing-title" id="landing-title" tabIndex={-1} ref={title}>
            {words.title}
          </h1>
          <p className="landing-text">
            {pieces(textOf(words, state), state).map(({ value, exact }, index) =>
              exact ? <code key={index}>{value}</code> : <span key={index}>{value}</span>,
            )}
          </p>
        </div>
        <div className="landing-actions">
          {actionsOf(words.actions, state).map((action) =>
            action.does === "renew" ? (
              <form className="landing-form" method="post" action={RENEW} key={action.does}>
                <input type="hidden" name="tag" value={state.renew} />
                <button className="landing-action">{labelOf(action, state)}</button>
              </form>
            ) : LINKS.includes(action.does) ? (
              <a className="landing-action" href={placeOf(action, state)} key={action.does}>
                {labelOf(action, state)}
              </a>
            ) : (
              <button className="landing-action" type="button" onClick={() => press(action.does)} key={action.does}>
                {labelOf(action, state)}
              </button>
            ),
          )}
        </div>
      </section>
    </main>
  );
}
