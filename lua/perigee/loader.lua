-- Loads a user's files: text only, in a strict environment, with a require that knows the files
-- beside config.lua, the folders of lua.path, and the modules it was given.

local strict = require "perigee.strict"

local M = {}

---@class perigee.Loader
---@field environment table
---@field load fun(text: string, path: string): function?, string?
---@field require fun(name: string): any
---@field sources perigee.LoaderRequest

---@class perigee.LoaderRequest
---@field globals table                                  the state's real globals
---@field read fun(path: string): string?, string?       a file's text, or nil and the reason
---@field folders string[]                               where require looks, in order
---@field modules table<string, any>                     what require gives without looking
---@field extra table?                                   further globals

---The folder part of a path, with its slash; empty for a plain name.
---@param path string
---@return string
function M.folder(path)
  return path:match("^(.*/)[^/]*$") or ""
end

---@param folder string
---@param path string
---@return string
function M.join(folder, path)
  if path:sub(1, 1) == "/" or folder == "" then
    return path
  end
  return (folder:gsub("/*$", "/")) .. path
end

---@param request perigee.LoaderRequest
---@return perigee.Loader
function M.new(request)
  local loader = { sources = request }
  local loaded, loading = {}, {}

  function loader.load(text, path)
    return request.globals.load(text, "@" .. path, "t", loader.environment)
  end

  local function find(name)
    local tried = {}
    for _, folder in ipairs(request.folders) do
      local path = M.join(folder, (name:gsub("%.", "/")) .. ".lua")
      local text = request.read(path)
      if text then
        return text, path
      end
      tried[#tried + 1] = path
    end
    error(('module "%s" not found (looked for %s)'):format(name, table.concat(tried, ", ")), 3)
  end

  function loader.require(name)
    if type(name) ~= "string" or not name:match("^[%w_./-]+$") then
      error("require wants the name of a module", 2)
    end
    if request.modules[name] ~= nil then
      return request.modules[name]
    end
    if loaded[name] ~= nil then
      return loaded[name]
    end
    if loading[name] then
      error(('module "%s" requires itself'):format(name), 2)
    end
    local text, path = find(name)
    local chunk, problem = loader.load(text, path)
    if not chunk then
      error(problem, 0)
    end
    loading[name] = true
    local ok, value = pcall(chunk, name, path)
    loading[name] = nil
    if not ok then
      error(value, 0)
    end
    loaded[name] = value == nil and true or value
    return loaded[name]
  end

  local extra = { require = loader.require }
  for name, value in pairs(request.extra or {}) do
    extra[name] = value
  end
  loader.environment = strict.environment(request.globals, extra)
  return loader
end

return M
