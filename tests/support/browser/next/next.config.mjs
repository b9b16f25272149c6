const api = process.env.FRONTEND_API;

export default {
  async rewrites() {
    return [{ source: "/__clerk/:path*", destination: `${api}/__clerk/:path*` }];
  },
  async headers() {
    const headers = [
      { key: "Referrer-Policy", value: "no-referrer" },
      { key: "Cache-Control", value: "no-store" },
    ];
    return [{ source: "/(app-router|pages-router)", headers }];
  },
};
