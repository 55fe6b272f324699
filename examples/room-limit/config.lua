-- How do I limit how many clients are in a channel? Ask its presence before letting one more in.
-- Two that come at the very same moment may both see the last free seat: this keeps a room small,
-- it does not sell tickets (../counter does).

local perigee = require "perigee"

local SEATS = 2

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    namespaces = {
      table = {
        presence = true, -- without it there would be nothing to count
        hooks = {
          subscribe = function(_, req)
            local here, err = perigee.presence_stats { channel = req.channel } -- waits, blocks nobody
            if not here then
              return nil, err
            end
            if here.num_clients >= SEATS then
              return perigee.error(450, "the room is full", true) -- temporary: SDKs try again
            end
            return {}
          end,
        },
      },
    },
  },
}
