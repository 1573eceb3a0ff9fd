// The npm package ws: its server's example of a broadcast, and of an echo.
import { createRequire } from "node:module";
import { createServer } from "node:http";
const { WebSocketServer, WebSocket } = createRequire(`${process.env.BENCH_NPM}/`)("ws");

const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false });
const readers = new Set();
server.on("connection", (socket, request) => {
  socket.on("error", () => {});
  if (request.url === "/e") {
    socket.on("message", (data) => socket.send(data, { binary: false }));
    return;
  }
  if (request.url === "/r") {
    readers.add(socket);
    socket.on("close", () => readers.delete(socket));
  }
  socket.on("message", (data) => {
    for (const reader of readers) {
      if (reader.readyState === WebSocket.OPEN) reader.send(data, { binary: false });
    }
  });
});
http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}`);
});
