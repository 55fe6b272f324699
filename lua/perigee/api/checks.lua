-- What several commands ask before they act. Each function returns `nil, error` to refuse.

local core = require "perigee.core"
local errors = require "perigee.api.errors"

local M = {}

---The options of a channel.
---@param channel string
---@return perigee.core.Options? options
---@return integer? error
---@return string? message
function M.channel(channel)
  if channel == "" then
    return nil, errors.bad_request
  end
  return core.options(channel)
end

---A channel that keeps presence.
---@param channel string
---@return perigee.core.Options? options
---@return integer? error
---@return string? message
function M.presence(channel)
  local options, err, message = M.channel(channel)
  if options and not options.presence then
    return nil, errors.not_available
  end
  return options, err, message
end

---A channel that keeps history.
---@param channel string
---@return perigee.core.Options? options
---@return integer? error
---@return string? message
function M.history(channel)
  local options, err, message = M.channel(channel)
  if options and (options.history_size == 0 or options.history_ttl == 0) then
    return nil, errors.not_available
  end
  return options, err, message
end

---Is data what the namespace's `publication_data_format` asks for? nil is no data at all.
---@param options perigee.core.Options
---@param data perigee.core.Raw?
---@return boolean
function M.fits(options, data)
  local format = options.publication_data_format
  if format == "" then
    return data ~= nil
  elseif format == "json" then
    return core.is_json(data)
  elseif format == "json_object" then
    return core.is_json_object(data)
  end
  return true
end

---Raw bytes that may have come as base64, which wins; `false` is base64 that cannot be decoded.
---@param raw perigee.core.Raw?
---@param base64 perigee.core.Raw|false|nil
---@return perigee.core.Raw? bytes
---@return integer? error
function M.bytes(raw, base64)
  if base64 == false then
    return nil, errors.bad_request
  end
  return base64 or raw
end

return M
