const api = process.env.FRONTEND_API;

export default {
  async rewrites() {
    return [{ source: "/__clerk/:path*", destination: `${api}/__clerk/:path*` }];
  },
  /* headers */
};
