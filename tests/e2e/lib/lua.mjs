// Writes JavaScript values as Lua source, for config.lua files made by tests.

class Raw {
  constructor(source) {
    this.source = source;
  }
}

/** Lua source that goes into the table as it is, such as a function. */
export function lua(strings, ...values) {
  const source = typeof strings === "string" ? strings : String.raw({ raw: strings.raw }, ...values);
  return new Raw(source.trim());
}

function quote(text) {
  let out = '"';
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    out += plain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, "0")}`;
  }
  return `${out}"`;
}

export function toLua(value, indent = "") {
  if (value instanceof Raw) return value.source;
  if (value === null || value === undefined) return "nil";
  if (typeof value === "string") return quote(value);
  if (typeof value !== "object") return String(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) return `{ ${value.map((item) => toLua(item, inner)).join(", ")} }`;
  const rows = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${inner}[${quote(key)}] = ${toLua(item, inner)},\n`);
  return rows.length === 0 ? "{}" : `{\n${rows.join("")}${indent}}`;
}

const isPlain = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Raw);

/** Lays `over` over `base`, table by table. */
export function merge(base, over) {
  const out = { ...base };
  for (const [key, value] of Object.entries(over ?? {})) {
    out[key] = isPlain(value) && isPlain(out[key]) ? merge(out[key], value) : value;
  }
  return out;
}
