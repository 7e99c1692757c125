// As much of Telegram and of X as it takes to sign in: for measurements of the real program, which needs both.

import { createServer } from "node:http";

const json = (answer, value, status = 200) => {
  answer.writeHead(status, { "content-type": "application/json" });
  answer.end(JSON.stringify(value));
};

async function serve(handle) {
  const server = createServer(async (request, answer) => {
    let body = "";
    for await (const piece of request) body += piece;
    handle(new URL(request.url, "http://x"), body, answer);
  });
  await new Promise((up) => server.listen(0, "127.0.0.1", up));
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => { server.closeAllConnections(); server.close(); } };
}

/** A Bot API server with one person in one private chat. */
export async function telegram() {
  const updates = [];
  const said = [];
  let waiting = null;
  let heard = null;
  const person = { id: 7, is_bot: false, first_name: "Mia" };
  const chat = { id: 7, type: "private", first_name: "Mia" };
  const give = () => {
    if (!waiting || updates.length === 0) return;
    json(waiting, { ok: true, result: updates.splice(0) });
    waiting = null;
  };
  const { url, stop } = await serve(({ pathname }, body, answer) => {
    const method = pathname.split("/").pop().toLowerCase();
    const ok = (result) => json(answer, { ok: true, result });
    if (method === "getme") return ok({ id: 1, is_bot: true, first_name: "toall", username: "toall_bot" });
    if (method === "getupdates") {
      waiting = answer;
      const mine = answer;
      setTimeout(() => { if (waiting === mine) { json(mine, { ok: true, result: [] }); waiting = null; } }, 5000);
      return give();
    }
    if (method !== "sendmessage") return ok(true);
    const message = JSON.parse(body);
    said.push(message);
    if (heard && heard.wanted.test(message.text)) {
      heard.answered(message);
      heard = null;
    }
    return ok({ message_id: said.length, date: 0, chat, text: message.text });
  });
  let id = 0;
  return {
    url,
    stop,
    /** Says something to the bot, and returns what it answers: the first thing it says that holds what is `wanted`. */
    ask: (text, wanted) => new Promise((answered) => {
      heard = { wanted, answered };
      id += 1;
      const entities = [{ type: "bot_command", offset: 0, length: text.split(" ")[0].length }];
      updates.push({ update_id: id, message: { message_id: 1000 + id, date: 0, from: person, chat, text, entities } });
      give();
    }),
  };
}

/** An address in a message: of a page on this machine no button is made, since Telegram refuses that. */
export const ADDRESS = /https?:\/\/[^\s"<]+/;

export const address = (message) => ADDRESS.exec(message.text)[0].replaceAll("&amp;", "&");

/** An X that signs one account in, and has trouble with everything else. */
export function x() {
  const scope = "tweet.read tweet.write users.read media.write offline.access";
  return serve(({ pathname }, _, answer) => {
    if (pathname === "/2/oauth2/token") {
      return json(answer, { token_type: "bearer", expires_in: 7200, access_token: "a", refresh_token: "r", scope });
    }
    if (pathname === "/2/users/me") {
      return json(answer, { data: { id: "42", username: "mia_makes", name: "Mia", subscription_type: "None" } });
    }
    json(answer, { title: "Service Unavailable" }, 503);
  });
}
