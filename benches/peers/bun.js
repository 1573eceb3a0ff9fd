// Bun: native WebSocket publish (uWebSockets inside), direct streams for SSE, a static route.
const event = (text) => new TextEncoder().encode(`id: 0badcafe-4711\nevent: message\ndata: ${text}\n\n`);
const streams = new Set();

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  routes: {
    "/healthz": new Response("ok\n", { headers: { "Content-Type": "text/plain; charset=utf-8" } }),
  },
  async fetch(request, server) {
    const path = new URL(request.url).pathname;
    if (path === "/sse") {
      let leave;
      const body = new ReadableStream({
        type: "direct",
        async pull(controller) {
          streams.add(controller);
          controller.write(": hello\n\n");
          controller.flush();
          await new Promise((resolve) => { leave = resolve; });
          streams.delete(controller);
        },
        cancel() { leave?.(); },
      });
      return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    }
    if (request.method === "POST") {
      const bytes = event(await request.text());
      for (const stream of streams) { stream.write(bytes); stream.flush(); }
      return new Response(null, { status: 204 });
    }
    if (server.upgrade(request, { data: path })) return;
    return new Response("not here", { status: 404 });
  },
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
    open(socket) { if (socket.data === "/r") socket.subscribe("bench"); },
    message(socket, message) {
      if (socket.data === "/e") socket.send(message);
      else server.publish("bench", message);
    },
  },
});
console.log(`listening on http://127.0.0.1:${server.port}`);
