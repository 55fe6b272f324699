-- Prints the results of bench/run as Markdown tables: medians over the repetitions, and their
-- ratio to the floor's median in the same file. Usage: lua5.4 table.lua RESULTS.jsonl

--- The JSON that bench_load writes: no escapes but \" and \\.
local function json(text)
  local at = 1
  local value

  local function skip(pattern)
    local _, last = text:find("^%s*" .. pattern, at)
    if last then
      at = last + 1
    end
    return last ~= nil
  end

  local function quoted()
    local out = {}
    while true do
      local plain, stop = text:match('^([^"\\]*)(.)', at)
      assert(plain, "string without an end")
      out[#out + 1] = plain
      at = at + #plain + 1
      if stop == '"' then
        return table.concat(out)
      end
      out[#out + 1] = text:sub(at, at)
      at = at + 1
    end
  end

  local function object()
    local out = {}
    if skip "}" then
      return out
    end
    repeat
      assert(skip '"', "key expected")
      local key = quoted()
      assert(skip ":", "colon expected")
      out[key] = value()
    until not skip ","
    assert(skip "}", "object without an end")
    return out
  end

  function value()
    if skip "{" then
      return object()
    elseif skip '"' then
      return quoted()
    end
    local word = text:match("^%s*([%w%.%+%-]+)", at)
    assert(word, "value expected")
    skip "[%w%.%+%-]+"
    if word == "true" or word == "false" then
      return word == "true"
    end
    return tonumber(word) -- null: nil
  end

  return value()
end

local function median(list)
  table.sort(list)
  local n = #list
  if n == 0 then
    return nil
  end
  return n % 2 == 1 and list[(n + 1) // 2] or (list[n // 2] + list[n // 2 + 1]) / 2
end

--- Columns: title, path in the result line, factor, digits, and whether the ratio is shown.
local cpu_delivery = { "CPU µs/delivery", "results.cpu_us_per_delivery", 1, "%.3f", true }
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
  { "CPU µs/publish", "results.cpu_us_per_publish", 1, "%.3f", true },
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
local columns = {
  fanout = fanout,
  fanout16 = fanout,
  fanout10k = fanout,
  batch = { cpu_delivery, fanout[3], fanout[5], fanout[8] },
  idle = idle,
  idle10k = idle,
  idlemax = idle,
  publish = publish,
  publish1 = publish,
  connect = connect,
  witness = {
    { "quiet p99 ms", "results.witness_quiet_us.p99", 1e-3, "%.2f" },
    { "storm p99 ms", "results.witness_storm_us.p99", 1e-3, "%.2f" },
    { "connections/s", "results.connects_per_s", 1, "%.0f" },
    { "failed", "clients.failed", 1, "%.0f" },
  },
}
local always = { { "load CPU", "load.cpu_share", 100, "%.0f %%" } }

local function field(line, path)
  for key in path:gmatch "[^.]+" do
    line = type(line) == "table" and line[key] or nil
  end
  return line
end

--- scenario name → { servers = names in order, runs = name → lines }, in order of appearance.
local function read(path)
  local scenarios, order, last = {}, {}, nil
  for text in io.lines(path) do
    local line = json(text)
    local s = scenarios[line.name]
    if not s then
      s = { servers = {}, runs = {} }
      scenarios[line.name] = s
      order[#order + 1] = line.name
    end
    if not s.runs[line.label] then
      s.runs[line.label] = {}
      s.servers[#s.servers + 1] = line.label
    end
    table.insert(s.runs[line.label], line)
    last = line
  end
  return scenarios, order, last
end

local function cell(column, runs, floor)
  local function of(lines)
    local values = {}
    for _, line in ipairs(lines or {}) do
      values[#values + 1] = field(line, column[2])
    end
    return median(values)
  end
  local value, base = of(runs), of(floor)
  if not value then
    return "–"
  end
  local text = column[4]:format(value * column[3])
  if column[5] and floor and floor ~= runs and base and base > 0 then
    text = ("%s (%.2f ×)"):format(text, value / base)
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
      row = row .. " " .. cell(column, runs, s.runs.floor) .. " |"
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
local scenarios, order, last = read(path)
if not last then
  print "no results"
  os.exit(1)
end
print(("%s, %d cores, Linux %s; commit %s; Perigee's workers: %d; × is the ratio to the floor"):format(
  last.machine.cpu, last.machine.cores, last.machine.kernel, last.commit, last.workers))
for _, name in ipairs(order) do
  if columns[name] then
    print_scenario(name, scenarios[name])
  end
end
