// A small ordering system: places one order and waits for its result by webhook.
//
//     npm install            # standardwebhooks, and the compiler
//     npx tsc
//     DCVD_TOKEN=… DCVD_WEBHOOK_SECRET=whsec_… node out/shop.js https://dcv.example.net 127.0.0.1:9000 \
//         A-1001 www.example.co.jp admin@example.co.jp
//
// What a shop must do stands in three places, marked 1 to 3.

import { createServer, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Webhook } from "standardwebhooks";

interface Problem {
  code: string;
  title: string;
  detail?: string;
  errors?: { pointer: string; code: string; detail: string }[];
}

interface Order {
  id: string;
  state: "pending" | "completed" | "cancelled";
  expires_at: string | null;
}

interface Event {
  type: string;
  timestamp: string;
  data: { order_id?: string; order_ref?: string; seq?: number; name?: string };
}

const [base, address, orderRef, name, approver] = process.argv.slice(2);
const token = process.env.DCVD_TOKEN;
const secret = process.env.DCVD_WEBHOOK_SECRET;
if (!base || !address || !orderRef || !name || !approver || !token || !secret) {
  console.error("usage: DCVD_TOKEN=… DCVD_WEBHOOK_SECRET=… node shop.js BASE LISTEN ORDER_REF NAME APPROVER");
  process.exit(2);
}

/** One request. The same key may be sent again and again: only the first changes anything, and all get its answer. */
async function call<T>(method: string, path: string, body?: unknown, key?: string): Promise<T> {
  const headers: Record<string, string> = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  if (key) headers["idempotency-key"] = key;
  for (let attempt = 1; ; attempt++) {
    let answer: Response;
    try {
      const signal = AbortSignal.timeout(60_000);
      answer = await fetch(base + path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      if (attempt === 5) throw error;
      await sleep(attempt * 1000);
      continue;
    }
    if (answer.ok) return (await answer.json()) as T;
    const problem = (await answer.json()) as Problem;
    // 1. Try again what may be tried again, as late as the server asks; tell a person everything else, field by field.
    const after = answer.headers.get("retry-after");
    if (![409, 429, 503].includes(answer.status) || after === null || attempt === 5) {
      const fields = (problem.errors ?? []).map((one) => `\n  ${one.pointer}: ${one.detail} (${one.code})`).join("");
      throw new Error(`${problem.code}: ${problem.detail ?? problem.title}${fields}`);
    }
    await sleep(Number(after) * 1000);
  }
}

// What a shop would keep in its database: which events it has seen, and what became of each name.
const seen = new Set<string>();
const names = new Map<string, string>();

function take(id: string, event: Event): void {
  // 2. An event may come more than once, always with the same id: act on the first.
  if (seen.has(id)) return;
  seen.add(id);
  // Another order's; a shop would look its own up by this reference.
  if (event.data.order_ref !== orderRef) return;
  console.log(`${event.data.seq} ${event.type} ${event.data.name ?? ""}`.trimEnd());
  if (event.type.startsWith("validation.") && event.data.name) {
    names.set(event.data.name, event.type.slice("validation.".length));
  }
  if (event.type === "order.completed" || event.type === "order.cancelled") {
    console.log(`result: ${JSON.stringify(Object.fromEntries(names))}`);
    const approved = names.size > 0 && [...names.values()].every((state) => state === "approved");
    // The answer to this very event goes first.
    setTimeout(() => process.exit(approved ? 0 : 1), 200);
  }
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

const verifier = new Webhook(secret);
const server = createServer(async (request, response) => {
  const body = await read(request);
  try {
    // 3. Verify the bytes as they came, before reading them. This refuses what is forged, changed or old.
    const event = verifier.verify(body, request.headers as Record<string, string>) as Event;
    take(String(request.headers["webhook-id"]), event);
    // Answer at once; anything but 2xx is sent again.
    response.writeHead(204).end();
  } catch (error) {
    console.error(`refused: ${(error as Error).message}`);
    response.writeHead(400).end();
  }
});

const [host, port] = [address.slice(0, address.lastIndexOf(":")), address.slice(address.lastIndexOf(":") + 1)];
server.listen(Number(port), host, async () => {
  try {
    const listed = await call<{ approvers: { email: string; usable: boolean }[] }>("GET", `/v1/approvers?name=${encodeURIComponent(name)}`);
    console.log(`may approve ${name}: ${listed.approvers.filter((one) => one.usable).map((one) => one.email).join(", ")}`);
    const order = { order_ref: orderRef, names: [name], approvers: [approver] };
    const placed = await call<Order>("POST", "/v1/orders", order, `place-${orderRef}`);
    console.log(`placed ${placed.id}: ${placed.state} until ${placed.expires_at}`);
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
});
