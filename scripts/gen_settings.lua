-- Writes what follows from lua/perigee/schema.lua:
--   lua5.4 gen_settings.lua <srcroot> header|docs|luals|text <out>
-- header: the members of struct settings and struct channel_options, and the field tables that
-- src/script/config.c fills them through; docs: docs/configuration.md; luals: types for editors; text: the lists of options in docs/perigee.txt.

local root, what, out = arg[1], arg[2], arg[3]
if not (root and what and out) then
  io.stderr:write("usage: gen_settings.lua <srcroot> header|docs|luals|text <out>\n")
  os.exit(2)
end
package.path = root .. "/lua/?.lua;" .. package.path
local schema = require "perigee.schema"

local lines = {}
local function emit(text, ...)
  lines[#lines + 1] = select("#", ...) > 0 and text:format(...) or text
end

-- The C type and the enumerator of each type; a type that is absent stays in Lua.
local C_TYPES = {
  bool = { "bool ", "SETTING_BOOL" },
  int = { "int64_t ", "SETTING_INT" },
  size = { "int64_t ", "SETTING_INT" },
  duration = { "int64_t ", "SETTING_INT" },
  enum = { "int ", "SETTING_ENUM" },
  string = { "struct str ", "SETTING_STR" },
  secret = { "struct str ", "SETTING_STR" },
  pem = { "struct str ", "SETTING_STR" },
  list = { "struct str_list ", "SETTING_LIST" },
  buckets = { "struct rate_buckets ", "SETTING_BUCKETS" },
}

local function enum(prefix, row)
  local name = row.path:gsub("%.", "_")
  emit("enum %s%s {", prefix:lower() .. "_", name)
  for _, word in ipairs(row.values) do
    emit("    %s_%s_%s,", prefix, name:upper(), word == "" and "NONE" or word:upper())
  end
  emit("};")
end

local function comment(row)
  return (row.doc:gsub("`", ""):gsub("%*/", "* /"))
end

-- A macro of one line per option that has a C type.
local function macro(name, rows, line)
  local parts = { "#define " .. name }
  for _, row in ipairs(rows) do
    if C_TYPES[row.type] then
      parts[#parts + 1] = "    " .. line(row, C_TYPES[row.type])
    end
  end
  emit("\n" .. table.concat(parts, " \\\n"))
end

local function field_of(struct)
  return function(row, c)
    return ('{"%s", %s, offsetof(struct %s, %s)},'):format(row.path, c[2], struct, schema.c_name(row))
  end
end

local function header()
  emit("/* Generated from lua/perigee/schema.lua; do not edit. Included by core/settings.h. */")
  emit("#pragma once\n")
  for _, row in ipairs(schema.options) do
    if row.type == "enum" then
      enum("SETTING", row)
    end
  end
  for _, row in ipairs(schema.channel_options) do
    if row.type == "enum" then
      enum("CHANNEL", row)
    end
  end
  emit("\n/* The options of one namespace. */\nstruct channel_options {")
  for _, row in ipairs(schema.channel_options) do
    local c = C_TYPES[row.type]
    if c then
      emit("    %s%s; /* %s */", c[1], schema.c_name(row), comment(row))
    end
  end
  emit("};\n\n/* The members of struct settings. */")
  macro("SETTINGS_MEMBERS", schema.options, function(row, c)
    return ("%s%s; /* %s */"):format(c[1], schema.c_name(row), comment(row))
  end)
  macro("SETTINGS_FIELDS", schema.options, field_of("settings"))
  macro("CHANNEL_FIELDS", schema.channel_options, field_of("channel_options"))
end

local TYPE_NAMES = {
  bool = "true / false", int = "integer", string = "string", secret = "string", duration = "duration",
  size = "size", enum = "word", list = "list of strings", map = "table of strings",
  buckets = "list of buckets", pem = "PEM text or path", hooks = "table of functions",
  functions = "table of functions",
}

local function default_text(row)
  local value = row.default
  if value == nil then
    return "–"
  elseif row.words then
    for word, number in pairs(row.words) do
      if number == value then
        return '`"' .. word .. '"`'
      end
    end
  elseif row.type == "list" then
    return #value == 0 and "`{}`" or '`{ "' .. table.concat(value, '", "') .. '" }`'
  elseif row.type == "buckets" then
    local texts = {}
    for i, bucket in ipairs(value) do
      texts[i] = ('{ interval = "%s", rate = %d }'):format(bucket.interval, bucket.rate)
    end
    return #texts == 0 and "`{}`" or "`{ " .. table.concat(texts, ", ") .. " }`"
  elseif type(value) == "string" then
    return '`"' .. value .. '"`'
  end
  return "`" .. tostring(value) .. "`"
end

local function type_text(row)
  if row.type == "enum" then
    local words = {}
    for i, word in ipairs(row.values) do
      words[i] = '`"' .. word .. '"`'
    end
    return table.concat(words, ", ")
  end
  local text = TYPE_NAMES[row.type]
  if row.words then
    text = text .. " or word"
  elseif row.single then
    text = "string or list of strings"
  end
  if row.max then
    return ("%s, %s…%s"):format(text, row.min or 0, row.max)
  elseif row.min and row.min > 0 then
    return ("%s, at least %s"):format(text, row.min)
  end
  return text
end

local function docs_sections(list, level)
  for _, section in ipairs(list) do
    emit("%s %s\n", level, section.title)
    if section.intro then
      emit(section.intro .. "\n")
    end
    emit("| option | type | default | meaning |\n|---|---|---|---|")
    for _, row in ipairs(section.options) do
      local doc = (row.later and "*(later)* " or "") .. row.doc
      emit("| `%s` | %s | %s | %s |", row.path, type_text(row), default_text(row),
        (doc:gsub("|", "\\|")))
    end
    emit("")
  end
end

local DOCS_HEAD = [[
# Configuration

<!-- Generated by scripts/gen_settings.lua from lua/perigee/schema.lua; edit that file. -->

`config.lua` is a Lua program that returns one table. Every option below is a path into that
table: `client.ping_interval` means `{ client = { ping_interval = "25s" } }`. An option that is
absent (nil) has its default; a value that is given counts, also `0`, `""` and `false`.

```lua
return {
  client = {
    allowed_origins = { "https://example.com" },
    token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" },
  },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  channel = {
    without_namespace = { allow_subscribe_for_client = true },
    namespaces = { chat = { presence = true, history_size = 100, history_ttl = "10m" } },
  },
}
```

`perigee check -c config.lua` names every problem at once, as
`FILE:LINE: key: problem (did you mean …?)`. An unknown key, a wrong type, a value out of range
and options that contradict each other are errors; the server does not start with any of them. What is
allowed, but dangerous or without effect, is a warning: `FILE:LINE: key: warning: …`. `perigee check`
prints those too and exits with 0; the server logs them when it starts.

## Where a value comes from

Weakest first:

1. the defaults of this page;
2. `config.lua`;
3. the environment: `PERIGEE_` and the path in capitals, dots as underscores:
   `PERIGEE_HTTP_SERVER_PORT=8001`. An empty variable counts as absent.
   For a namespace of the file: `PERIGEE_CHANNEL_NAMESPACES_CHAT_PRESENCE=true`;
   `PERIGEE_CHANNEL_NAMESPACES="chat news"` names further ones;
4. `--set http_server.port=8001`; also `--set channel.namespaces.chat.presence=true`, which makes
   the namespace when it is not there.

In the environment and with `--set`, lists are separated by spaces, and `true`, `1`, `false`, `0`
are booleans. Functions and rate limit buckets can only stand in the file. Variables beginning
with `PERIGEE_` that are no option are left to your own `os.getenv`, but one that is nearly the name
of an option is an error; `PERIGEE_VAR_…` is always yours.

## Types

- **duration**: a number of seconds (`10`, `0.5`) or text: `"300ms"`, `"25s"`, `"10m"`, `"1.5h"`,
  `"1h30m"`.
- **size**: a number of bytes or text: `"64K"`, `"64M"`, `"1G"` (powers of 1024).
- **PEM text or path**: text that begins with `-----BEGIN`, or the path of a file.

Options marked *(later)* are reserved: giving them another value than the default is an error.

## What the file may do

It runs in a state of its own with `string`, `table`, `math`, `utf8`, `coroutine`, and of `os` only
`getenv`, `time`, `date`, `clock`. Globals cannot be set, and reading an unknown one is an error
that names it. `require "name"` finds `name.lua` beside `config.lua` or in `lua.path` (which, while
the file itself loads, is known from the environment and `--set` only). Only text is loaded, no
bytecode. Every worker runs the same file once more for its functions, so it
should compute the same thing every time.
]]

local function docs()
  emit(DOCS_HEAD)
  docs_sections(schema.sections, "##")
  emit([[
## Channel options

The same set is used for channels without a namespace and for each namespace:
`channel.without_namespace.<option>`, `channel.namespaces.<name>.<option>`. The namespace of a
channel is the part of its name before the first `:`. Names of namespaces have at least two of
`a`–`z`, `A`–`Z`, `0`–`9`, `-`, `_`, `.`.
]])
  docs_sections(schema.channel_sections, "###")
  emit("## Hooks\n\nWhat may stand in `hooks`; those marked with a star also in a namespace's `hooks`.\n")
  emit("| hook | |\n|---|---|")
  for _, hook in ipairs(schema.hooks) do
    emit("| `%s`%s | %s%s |", hook.name, hook.namespace and " \\*" or "", hook.later and "*(later)* " or "", hook.doc)
  end
end

local LUALS = {
  bool = "boolean", int = "integer", string = "string", secret = "string", duration = "number|string",
  size = "integer|string", list = "string[]", map = "table<string, string>", pem = "string",
  buckets = "perigee.config.bucket[]", functions = "table<string, function>",
}

local function luals_type(row, hooks_class)
  if row.type == "enum" then
    local words = {}
    for i, word in ipairs(row.values) do
      words[i] = '"' .. word .. '"'
    end
    return table.concat(words, "|")
  elseif row.type == "hooks" then
    return hooks_class
  end
  local text = LUALS[row.type]
  for word in pairs(row.words or {}) do
    text = text .. '|"' .. word .. '"'
  end
  return row.single and "string|" .. text or text
end

-- Turns dotted paths into nested classes, each emitted once, parents first.
local function luals_classes(class, rows, hooks_class, extra)
  local order, classes = { class }, { [class] = {} }
  for _, row in ipairs(rows) do
    local parent = class
    local head, leaf = row.path:match("^(.*)%.([^.]+)$")
    for part in (head or ""):gmatch("[^.]+") do
      local child = parent .. "." .. part
      if not classes[child] then
        classes[child] = {}
        order[#order + 1] = child
        table.insert(classes[parent], ("---@field %s? %s"):format(part, child))
      end
      parent = child
    end
    table.insert(classes[parent],
      ("---@field %s? %s %s"):format(leaf or row.path, luals_type(row, hooks_class), row.doc))
  end
  for name, fields_of in pairs(extra or {}) do
    for _, field in ipairs(fields_of) do
      table.insert(classes[name], field)
    end
  end
  for _, name in ipairs(order) do
    emit("---@class %s", name)
    for _, field in ipairs(classes[name]) do
      emit(field)
    end
    emit("")
  end
end

local function luals()
  emit("---@meta")
  emit("-- Types of config.lua for editors. Generated by scripts/gen_settings.lua from schema.lua.\n")
  emit("---@class perigee.config.bucket\n---@field interval number|string\n---@field rate integer\n")
  for _, kind in ipairs { "hooks", "namespace_hooks" } do
    emit("---@class perigee.config.%s", kind)
    for _, hook in ipairs(schema.hooks) do
      if kind == "hooks" or hook.namespace then
        emit("---@field %s? function %s", hook.name, hook.doc)
      end
    end
    emit("")
  end
  luals_classes("perigee.config.namespace", schema.channel_options, "perigee.config.namespace_hooks")
  luals_classes("perigee.config", schema.options, "perigee.config.hooks", {
    ["perigee.config.channel"] = {
      "---@field without_namespace? perigee.config.namespace Channels without a namespace.",
      "---@field namespaces? table<string, perigee.config.namespace> Namespaces by name.",
    },
  })
end

-- --- docs/perigee.txt: the page for reading once; its lists of options are ours, the rest is text ---

local function plain(text)
  return (text:gsub("`", ""))
end

local function text_options(list)
  local out = {}
  for _, section in ipairs(list) do
    for _, row in ipairs(section.options) do
      if not row.later then
        local default = row.default == nil and "" or " = " .. plain(default_text(row))
        out[#out + 1] = ("%s%s (%s)\n    %s"):format(row.path, default, plain(type_text(row)), plain(row.doc))
      end
    end
  end
  return table.concat(out, "\n")
end

-- Puts body between a heading and the next one.
local function with_section(page, title, body)
  local _, from = assert(page:find("\n== " .. title .. " ==\n", 1, true))
  local to = assert(page:find("\n== ", from, true))
  return page:sub(1, from) .. "\n" .. body .. "\n" .. page:sub(to)
end

local function page_text()
  local file = assert(io.open(root .. "/docs/perigee.txt"))
  local page = file:read("a")
  file:close()
  page = with_section(page, "Options", text_options(schema.sections))
  page = with_section(page, "Channel options",
    "The same in channel.without_namespace and in channel.namespaces.<name>.\n\n" .. text_options(schema.channel_sections))
  emit("%s", page)
end

local writers = { header = header, docs = docs, luals = luals, text = page_text }
if not writers[what] then
  io.stderr:write("gen_settings.lua: unknown output: ", what, "\n")
  os.exit(2)
end
writers[what]()
while lines[#lines] == "" do
  lines[#lines] = nil
end
local text = table.concat(lines, "\n")
local file = assert(io.open(out, "w"))
file:write((text:gsub("\n*$", "\n")))
file:close()
