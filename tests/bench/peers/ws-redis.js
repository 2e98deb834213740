// SPDX-License-Identifier: MIT
// A chat of one page: POST and WebSocket frames go to a Redis channel, and what is heard there goes
// to all clients. Each instance does so; Redis gives the ids and keeps the last 1,000 messages.
'use strict';
const http = require('http');
const express = require('express');
const Redis = require('ioredis');
const { WebSocketServer, WebSocket } = require('ws');

const redis = new Redis({ port: process.env.REDIS_PORT });
const channel = new Redis({ port: process.env.REDIS_PORT });

async function publish({ username, content }) {
  const id = await redis.incr('id');
  const message = { id, username, content, created_at: new Date().toISOString(), room: 'lobby' };
  const text = JSON.stringify(message);
  await redis.multi().lpush('history', text).ltrim('history', 0, 999).publish('live', text).exec();
  return message;
}

function valid(message) {
  return message && typeof message.username === 'string' && typeof message.content === 'string';
}

const app = express();
app.use(express.json());
app.post('/messages', async (request, response) => {
  if (!valid(request.body)) return response.status(422).json({ detail: 'bad message' });
  return response.status(201).json(await publish(request.body));
});
app.get('/messages', async (request, response) => {
  const limit = Math.min(Number(request.query.limit) || 50, 1000);
  const lines = await redis.lrange('history', 0, limit - 1);
  response.json(lines.reverse().map((line) => JSON.parse(line)));
});

const server = http.createServer(app);
const sockets = new WebSocketServer({ server, path: '/ws', perMessageDeflate: false });
sockets.on('connection', async (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (valid(message)) publish(message);
  });
  for (const line of (await redis.lrange('history', 0, 19)).reverse()) socket.send(line);
});

channel.subscribe('live');
channel.on('message', (_, text) => {
  for (const socket of sockets.clients) if (socket.readyState === WebSocket.OPEN) socket.send(text);
});
server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', backlog: 4096 });
