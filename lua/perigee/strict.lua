-- The globals that a user's script sees: a read-only view of a chosen few. Reading a name that
-- does not exist raises a sentence with the nearest one that does; writing any raises too, so a
-- forgotten `local` is found at once.

local suggest = require "perigee.suggest"

local M = {}

-- What a script may use. No file, process or debug functions; load takes text only.
local BASE = {
  "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "print", "rawequal",
  "rawget", "rawlen", "select", "setmetatable", "tonumber", "tostring", "type", "xpcall", "_VERSION",
}
local LIBRARIES = { "string", "table", "math", "utf8", "coroutine" }
local OS = { "clock", "date", "difftime", "getenv", "time" }

local views = setmetatable({}, { __mode = "k" })

-- pairs of a view: the members themselves stay out of reach.
local function walk(members)
  return function(view)
    return function(_, key)
      return next(members, key)
    end, view, nil
  end
end

---A view of a table that cannot be changed.
---@param of table
---@param name string  how messages call it
---@return table
function M.read_only(of, name)
  local view = setmetatable({}, {
    __index = of,
    __newindex = function(_, key)
      error(("%s cannot be changed (%s)"):format(name, tostring(key)), 2)
    end,
    __pairs = walk(of),
    __len = function()
      return #of
    end,
    __metatable = false,
  })
  views[view] = true
  return view
end

---The same for a module and the tables in it; an unknown name raises.
---@param name string
---@param members table  is taken
---@return table
function M.module(name, members)
  for key, member in pairs(members) do
    if type(member) == "table" and not getmetatable(member) then
      members[key] = M.read_only(member, name .. "." .. key)
    end
  end
  return M.read_only(setmetatable(members, {
    __index = function(_, key)
      error(("%s.%s does not exist"):format(name, tostring(key)), 2)
    end,
  }), name)
end

local function names_of(members)
  local names = {}
  for name in pairs(members) do
    names[#names + 1] = name
  end
  return names
end

---Builds the environment of a user's chunks.
---@param globals table  the state's real globals
---@param extra table?   further names, such as require
---@return table environment
function M.environment(globals, extra)
  local members = {}
  for _, name in ipairs(BASE) do
    members[name] = globals[name]
  end
  for _, name in ipairs(LIBRARIES) do
    if globals[name] then
      members[name] = M.read_only(globals[name], name)
    end
  end
  if globals.os then
    local os = {}
    for _, name in ipairs(OS) do
      os[name] = globals.os[name]
    end
    members.os = M.read_only(os, "os")
  end
  for name, value in pairs(extra or {}) do
    members[name] = value
  end

  local environment = setmetatable({}, {
    __index = function(_, name)
      local value = members[name]
      if value ~= nil then
        return value
      end
      local near = type(name) == "string" and suggest.nearest(name, names_of(members), 2)
      error(('there is no global "%s"%s'):format(tostring(name),
        near and (' (did you mean "%s"?)'):format(near) or ""), 2)
    end,
    __newindex = function(_, name)
      error(('global "%s" cannot be set; write "local %s"'):format(tostring(name), tostring(name)), 2)
    end,
    __pairs = walk(members),
    __metatable = false,
  })
  views[environment] = true
  members._G = environment
  function members.load(chunk, name, _, ...)
    return globals.load(chunk, name, "t", select("#", ...) > 0 and (...) or environment)
  end
  function members.rawset(object, key, value)
    if views[object] then
      error("this table cannot be changed", 2)
    end
    return globals.rawset(object, key, value)
  end

  -- Methods of strings are reached past the views, so their table is hidden.
  local of_strings = globals.getmetatable("")
  if type(of_strings) == "table" then
    of_strings.__metatable = false
  end
  return environment
end

return M
