import { createHmac } from "node:crypto";

export const SECRET = "test-secret-of-the-end-to-end-tests";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
export const unixNow = () => Math.floor(Date.now() / 1000);

/** Signs claims: HS256 unless `alg` says otherwise; `header` adds to or replaces header fields. */
export function sign(claims, { secret = SECRET, alg = "HS256", header = {} } = {}) {
  const signed = `${part({ alg, typ: "JWT", ...header })}.${part(claims)}`;
  const mac = createHmac(`sha${alg.slice(2)}`, secret).update(signed).digest("base64url");
  return `${signed}.${mac}`;
}

/** A connection token of a user. */
export const userToken = (user, more = {}) => sign({ sub: user, exp: unixNow() + 3600, ...more });

/** A subscription token. */
export const channelToken = (user, channel, more = {}) =>
  sign({ sub: user, channel, exp: unixNow() + 3600, ...more });
