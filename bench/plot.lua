-- Draws the results of bench/run as an SVG: for each scenario and server the ratio of the median CPU
-- time to the floor's, and the memory of an idle connection. Usage: lua5.4 plot.lua RESULTS.jsonl OUT.svg
package.path = arg[0]:gsub("[^/]*$", "") .. "lib/?.lua;" .. package.path
local results = require "results"

local COLOURS = {
  floor = "#9aa0a6", floor_uring = "#5f6368", perigee = "#1a56db", centrifugo = "#d97706",
  nchan = "#0e9f6e", ws = "#c2410c",
}
local ORDER = { "floor", "floor_uring", "perigee", "centrifugo", "nchan", "ws" }
local LABELS = {
  floor = "floor (send)", floor_uring = "floor (io_uring)", perigee = "Perigee",
  centrifugo = "Centrifugo", nchan = "nchan", ws = "npm ws",
}
--- Scenario, its field, and two lines of label.
local SPEED = {
  { "fanout", "results.cpu_us_per_delivery", "1 000 clients", "one at a time" },
  { "fanout10k", "results.cpu_us_per_delivery", "10 000 clients", "one at a time" },
  { "fanout16", "results.cpu_us_per_delivery", "1 000 clients", "16 in flight" },
  { "batch", "results.cpu_us_per_delivery", "100 clients", "batch of 1 000" },
  { "publish1", "results.cpu_us_per_publish", "publish", "one at a time" },
  { "publish64", "results.cpu_us_per_publish", "publish", "64 connections" },
  { "publish", "results.cpu_us_per_publish", "publish", "pipelined" },
  { "connect", "results.cpu_us_per_connection", "connect", "token, subscribe" },
}
local MEMORY = {
  { "idle", "results.bytes_per_connection", "1 000", "connections" },
  { "idle10k", "results.bytes_per_connection", "10 000", "connections" },
  { "idlemax", "results.bytes_per_connection", "as many as", "files allow" },
}

local WIDTH, LEFT, RIGHT, TOP = 1200, 64, 20, 96
local HEIGHT, GAP = 250, 118

local out = {}
local function emit(text, ...)
  out[#out + 1] = select("#", ...) > 0 and text:format(...) or text
end

local function text(x, y, what, more)
  emit('<text x="%.1f" y="%.1f" %s>%s</text>', x, y, more or "", what)
end

--- Three significant digits, and no more than are needed.
local function short(value)
  if value >= 1000 then
    return ("%.1fk"):format(value / 1000)
  end
  return value >= 100 and ("%.0f"):format(value) or value >= 10 and ("%.1f"):format(value)
    or ("%.2f"):format(value)
end

--- Scenarios that were run, each with its bars; ratio: to the floor, or as they are.
local function groups(scenarios, rows, ratio)
  local list = {}
  for _, row in ipairs(rows) do
    local s = scenarios[row[1]]
    local base = s and ratio and results.middle(s.runs.floor, row[2])
    local group = { label = { row[3], row[4] } }
    for _, server in ipairs(ORDER) do
      local value = s and results.middle(s.runs[server], row[2])
      if value and value > 0 and (not ratio or base) then
        group[#group + 1] = { server = server, value = ratio and value / base or value }
      end
    end
    if #group > 0 then
      list[#list + 1] = group
    end
  end
  return list
end

--- The ends of the axis, as powers of ten.
local function ends(list, lowest)
  local low, high = lowest, lowest * 10
  for _, group in ipairs(list) do
    for _, bar in ipairs(group) do
      low, high = math.min(low, bar.value * 0.9), math.max(high, bar.value)
    end
  end
  return math.log(low, 10), math.log(high * 1.5, 10)
end

--- One panel with a logarithmic axis; bars begin at from, which is 1 for ratios.
local function panel(top, title, list, lowest, from)
  local low, high = ends(list, lowest)
  local function y(value)
    return top + HEIGHT * (1 - (math.log(value, 10) - low) / (high - low))
  end
  text(LEFT, top - 16, title, 'class="title"')
  for power = math.ceil(low - 1e-9), math.floor(high) do
    local at = y(10 ^ power)
    emit('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="grid"/>', LEFT, WIDTH - RIGHT, at, at)
    text(LEFT - 8, at + 4, ("%.0f"):format(10 ^ power), 'class="axis" text-anchor="end"')
  end
  local wide = (WIDTH - LEFT - RIGHT) / #list
  local bar_wide = math.min(30, wide / (#ORDER + 1))
  for i, group in ipairs(list) do
    local middle = LEFT + wide * (i - 0.5)
    local x = middle - bar_wide * #group / 2
    for _, bar in ipairs(group) do
      local a, b = y(bar.value), y(from or 10 ^ low)
      emit('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>', x + 1, math.min(a, b),
        bar_wide - 2, math.max(math.abs(a - b), 1), COLOURS[bar.server])
      if not from or bar.value ~= from then
        text(x + bar_wide / 2, math.min(a, b) - 4, short(bar.value), 'class="value" text-anchor="middle"')
      end
      x = x + bar_wide
    end
    text(middle, top + HEIGHT + 18, group.label[1], 'class="label" text-anchor="middle"')
    text(middle, top + HEIGHT + 34, group.label[2], 'class="label" text-anchor="middle"')
  end
  if from then
    emit('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="base"/>', LEFT, WIDTH - RIGHT, y(from), y(from))
  end
end

local function legend(present, y)
  local x = LEFT
  for _, server in ipairs(ORDER) do
    if present[server] then
      emit('<rect x="%d" y="%d" width="12" height="12" fill="%s"/>', x, y - 11, COLOURS[server])
      text(x + 18, y, LABELS[server], 'class="label"')
      x = x + 40 + #LABELS[server] * 8
    end
  end
end

local path, to = table.unpack(arg)
if not to then
  io.stderr:write "usage: lua5.4 plot.lua RESULTS.jsonl OUT.svg\n"
  os.exit(2)
end
local scenarios, _, last = results.read(path)
local panels, present = {}, {}
for _, p in ipairs {
  { "CPU time of the server, as a multiple of the floor’s (logarithmic; less is better)", groups(scenarios, SPEED, true), 0.7, 1 },
  { "Memory of an idle connection with its subscription, bytes in the server (logarithmic)", groups(scenarios, MEMORY, false), 10 },
} do
  if #p[2] > 0 then
    panels[#panels + 1] = p
    for _, group in ipairs(p[2]) do
      for _, bar in ipairs(group) do
        present[bar.server] = true
      end
    end
  end
end
local height = TOP + #panels * (HEIGHT + GAP) - 20
emit('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">', WIDTH, height, WIDTH, height)
emit [[<style>
text { font-family: system-ui, "DejaVu Sans", sans-serif; fill: #1f2937; font-size: 13px }
.title { font-size: 15px; font-weight: 600 } .head { font-size: 19px; font-weight: 600 }
.axis { fill: #6b7280; font-size: 12px } .value { font-size: 10px }
.grid { stroke: #e5e7eb } .base { stroke: #374151; stroke-dasharray: 4 3 }
</style><rect width="100%" height="100%" fill="#fff"/>]]
text(LEFT, 32, "Perigee next to the kernel’s own price", 'class="head"')
if last then
  text(LEFT, 52, ("%s, %d cores, Linux %s, commit %s; medians"):format(last.machine.cpu, last.machine.cores,
    last.machine.kernel, last.commit), 'class="axis"')
end
legend(present, 74)
for i, p in ipairs(panels) do
  panel(TOP + 30 + (i - 1) * (HEIGHT + GAP), table.unpack(p))
end
emit "</svg>"
local file = assert(io.open(to, "w"))
file:write(table.concat(out, "\n"), "\n")
file:close()
