-- Reads a channel's stream. limit 0: only its position; below 0: everything.

local core = require "perigee.core"
local checks = require "perigee.api.checks"

return {
  params = {
    { "channel", "string" },
    { "limit", "int32" },
    { "since", { { "offset", "uint" }, { "epoch", "string" } } },
    { "reverse", "bool" },
  },
  result = {
    { "publications", "raw!" },
    { "epoch", "string!" },
    { "offset", "uint!" },
  },
  run = function(channel, limit, since, reverse)
    local options, err, message = checks.history(channel)
    if not options then
      return nil, err, message
    end
    return core.history(options, channel, limit, since, reverse)
  end,
}
