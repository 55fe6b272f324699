-- Prints the results of bench/run as Markdown tables: medians over the repetitions, and their
-- ratio to the floor's median in the same file. Usage: lua5.4 table.lua RESULTS.jsonl

package.path = arg[0]:gsub("[^/]*$", "") .. "lib/?.lua;" .. package.path
local results = require "results"

--- Columns: title, path in the result line, factor, digits, and how it is compared: true (the ratio
--- is shown, too), "more" (only the difference), "share" (only the inverse of the ratio).
local cpu_delivery = { "CPU µs/delivery", "results.cpu_us_per_delivery", 1, "%.3f", true }
local cpu_publish = { "CPU µs/publish", "results.cpu_us_per_publish", 1, "%.3f", true }
local fanout = {
  cpu_delivery,
  { "p50 ms", "results.delivery_us.p50", 1e-3, "%.2f" },
  { "p99 ms", "results.delivery_us.p99", 1e-3, "%.2f", true },
  { "max ms", "results.delivery_us.max", 1e-3, "%.2f" },
  { "deliveries/s", "results.deliveries_per_s", 1, "%.0f", true },
  { "clients in 200 ms", "results.clients_in_200ms", 1, "%.0f", true },
  { "in 200 ms", "results.reached_200ms", 100, "%.2f %%" },
  { "per read", "results.deliveries_per_read", 1, "%.1f" },
}
local idle = {
  { "bytes/connection", "results.bytes_per_connection", 1, "%.0f" },
  { "CPU µs/(connection·s)", "results.cpu_us_per_connection_second", 1, "%.3f", true },
  { "pings/connection", "results.pings_per_connection", 1, "%.2f" },
  { "RSS after close", "results.rss_closed_ratio", 1, "%.2f × start" },
}
local publish = {
  { "publishes/s", "results.publishes_per_s", 1, "%.0f", true },
  cpu_publish,
  { "answer p50 ms", "results.answer_us.p50", 1e-3, "%.3f" },
  { "answer p99 ms", "results.answer_us.p99", 1e-3, "%.3f" },
}
local connect = {
  { "CPU µs/connection", "results.cpu_us_per_connection", 1, "%.1f", true },
  { "connections/s", "results.connects_per_s", 1, "%.0f", true },
  { "joined p50 ms", "results.join_us.p50", 1e-3, "%.1f" },
  { "joined p99 ms", "results.join_us.p99", 1e-3, "%.1f" },
  { "failed", "clients.failed", 1, "%.0f" },
}
local variant = {
  cpu_delivery,
  { "CPU µs/publish", "results.cpu_us_per_publish", 1, "%.0f" },
  { "deliveries/s", "results.deliveries_per_s", 1, "%.0f" },
}
local columns = {
  options = variant,
  workers = {
    cpu_delivery,
    { "busiest thread µs/delivery", "results.busiest_us_per_delivery", 1, "%.3f", true },
    { "CPU by thread", "threads" },
    fanout[3],
  },
  hooks = {
    { "CPU ns/command", "results.cpu_ns_per_command", 1, "%.0f" },
    { "more than the first row", "results.cpu_ns_per_command", 1, "%+.0f ns", "more" },
    { "commands a core can take", "results.cpu_ns_per_command", 1, "%.0f %%", "share" },
    { "16 answered p50 ms", "results.answer_us.p50", 1e-3, "%.3f" },
  },
  fanout = fanout,
  fanout16 = fanout,
  fanout10k = fanout,
  batch = { cpu_delivery, cpu_publish, fanout[3], fanout[5], fanout[8] },
  batch0 = { cpu_publish, publish[1] },
  idle = idle,
  idle10k = idle,
  idlemax = idle,
  publish = publish,
  publish1 = publish,
  publish64 = publish,
  connect = connect,
  subscribe = connect,
  arrivals1k = connect,
  arrivals = connect,
  witness = {
    { "quiet p99 ms", "results.witness_quiet_us.p99", 1e-3, "%.2f" },
    { "storm p99 ms", "results.witness_storm_us.p99", 1e-3, "%.2f" },
    { "connections/s", "results.connects_per_s", 1, "%.0f" },
    { "failed", "clients.failed", 1, "%.0f" },
  },
}
local always = { { "load CPU", "load.cpu_share", 100, "%.0f %%" } }

--- How the CPU of the server was spread over its threads, in the last run.
local function shares(runs)
  local list = {}
  for _, share in pairs(results.field(runs[#runs], "threads") or {}) do
    list[#list + 1] = share
  end
  table.sort(list, function(a, b) return a > b end)
  for i, share in ipairs(list) do
    list[i] = ("%.0f %%"):format(share * 100)
  end
  return table.concat(list, " + ")
end

local function cell(column, runs, base)
  if column[2] == "threads" then
    return shares(runs)
  end
  local value, of_base = results.middle(runs, column[2]), results.middle(base, column[2])
  if not value then
    return "–"
  end
  if column[5] == "more" or column[5] == "share" then
    local compared = column[5] == "more" and value - of_base or of_base / value * 100
    return base == runs and column[5] == "more" and "" or column[4]:format(compared)
  end
  local text = column[4]:format(value * column[3])
  if column[5] and base ~= runs and of_base and of_base > 0 then
    text = ("%s (%.2f ×)"):format(text, value / of_base)
  end
  return text
end

local function print_scenario(name, s)
  local list = table.move(always, 1, #always, #columns[name] + 1, { table.unpack(columns[name]) })
  local of = s.runs[s.servers[1]][1].scenario
  print(("\n**%s**: %d connections, %d publisher(s) × depth %d × batch %d, %d bytes\n"):format(
    name, of.connections, of.publishers, of.depth, of.batch, of.payload))
  local head, rule = "| server |", "|---|"
  for _, column in ipairs(list) do
    head, rule = head .. " " .. column[1] .. " |", rule .. "---|"
  end
  print(head .. " runs |\n" .. rule .. "---|")
  for _, server in ipairs(s.servers) do
    local runs, bad = s.runs[server], 0
    local row = "| " .. server .. " |"
    for _, column in ipairs(list) do
      row = row .. " " .. cell(column, runs, results.base(s)) .. " |"
    end
    for _, line in ipairs(runs) do
      bad = bad + (line.ok and 0 or 1)
    end
    print(row .. (" %d%s |"):format(#runs, bad > 0 and (", %d not clean"):format(bad) or ""))
  end
end

local path = arg[1]
if not path then
  io.stderr:write "usage: lua5.4 table.lua RESULTS.jsonl\n"
  os.exit(2)
end
local scenarios, order, last = results.read(path)
if not last then
  print "no results"
  os.exit(1)
end
print(("%s, %d cores, Linux %s; commit %s; × is the ratio to the floor, or without it to the first row"):format(
  last.machine.cpu, last.machine.cores, last.machine.kernel, last.commit))
for _, name in ipairs(order) do
  if columns[name] then
    print_scenario(name, scenarios[name])
  end
end
