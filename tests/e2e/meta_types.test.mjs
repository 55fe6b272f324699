// The types for editors know what a server offers, and nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { lua } from "./lib/lua.mjs";
import { TOP, startServer } from "./lib/server.mjs";

const NAMES = `(function()
local names = {}
for name, member in pairs(perigee) do
  if type(member) == "table" then
    for inner in pairs(member) do names[#names + 1] = name .. "." .. inner end
  else
    names[#names + 1] = name
  end
end
return { names = function() return names end }
end)()`;

test("lua/perigee/meta/perigee.lua names every member of the module", async (t) => {
  const server = await startServer(t, { config: { rpc: lua(NAMES) } });
  const client = await server.connect("ann");
  const offered = (await client.call("rpc", { method: "names", data: {} })).data;
  const text = readFileSync(join(TOP, "lua/perigee/meta/perigee.lua"), "utf8");
  const typed = [...text.matchAll(/^function perigee\.([\w.]+)\(/gm)].map(([, name]) => name);
  assert.deepEqual([...typed, "version", "json.null"].sort(), offered.sort());
});
