-- An option that does nothing would be a silent no-op: each one that is not marked `later` must be
-- read somewhere: by C through its member, or by the permission rules.
return function(t)
  local schema = require "perigee.schema"

  local function text_of(command)
    local list = assert(io.popen(command))
    local parts = {}
    for path in list:lines() do
      local file = assert(io.open(path))
      parts[#parts + 1] = file:read("a")
      file:close()
    end
    list:close()
    return table.concat(parts, "\n")
  end
  local root = "'" .. t.root:gsub("'", "'\\''") .. "'"
  local c = text_of("find " .. root .. "/src -name '*.[ch]'")
  local rules = text_of("ls " .. root .. "/lua/perigee/rules.lua")

  local words = {}
  for word in c:gmatch("[%a_][%w_]*") do
    words[word] = true
  end
  -- Members whose names a macro puts together: what its parameter `name` or `prefix` stands for may
  -- be anything.
  local shapes = {}
  for shape in c:gmatch("[%a_][%w_]*##[%w_#]+") do
    shapes[#shapes + 1] = "^" .. ("##" .. shape .. "##"):gsub("##prefix##", "[%%w_]+"):gsub("##name##", "[%%w_]+")
      :gsub("##", "") .. "$"
  end

  local function is_read(name)
    for _, shape in ipairs(shapes) do
      if name:find(shape) then
        return true
      end
    end
    return words[name]
  end

  local function by_rules(row)
    return rules:find(row.path, 1, true)
      or row.path:match("^allow_%a+_for_%a+$") and rules:find('"allow_" .. action .. "_for_', 1, true)
  end

  for _, row in ipairs(schema.options) do
    if not row.later and row.default ~= nil then
      t.case("somebody reads " .. row.path, function()
        t.truthy(is_read(schema.c_name(row)))
      end)
    end
  end
  for _, row in ipairs(schema.channel_options) do
    if not row.later and row.default ~= nil then
      t.case("somebody reads the channel option " .. row.path, function()
        t.truthy(c:find("opt%." .. schema.c_name(row) .. "%f[^%w_]")
          or c:find("%->" .. schema.c_name(row) .. "%f[^%w_]") or by_rules(row))
      end)
    end
  end
end
