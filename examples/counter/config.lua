-- How do I count for everybody, exactly? In a dict: one store for all workers, whose operations
-- cannot come between each other. Here: seats that are sold once, and a limit of messages for each
-- user over all of his connections. A reload keeps both; a restart forgets them.

local perigee = require "perigee"

local SEATS = 3
local seats = perigee.dict "seats"
local written = perigee.dict "written"

local function seats_left()
  return SEATS - #seats:keys()
end

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    namespaces = {
      show = { allow_subscribe_for_client = true },
      talk = {
        allow_subscribe_for_client = true,
        hooks = {
          publish = function(client)
            -- The first message starts the ten seconds, the following ones do not prolong them.
            local count = written:incr(client.user, 1, 10)
            if not count or count > 5 then -- nil: the dict is full
              return perigee.error(111, "too many requests", true)
            end
            return {}
          end,
        },
      },
    },
  },
  rpc = {
    book = function(client, number)
      if math.type(number) ~= "integer" or number < 1 or number > SEATS then
        return perigee.error(400, "there is no such seat")
      end
      if not seats:add(tostring(number), client.user) then -- somebody was quicker
        return perigee.error(409, "this seat is taken")
      end
      perigee.publish { channel = "show:seats", data = { left = seats_left() } }
      return { seat = number, left = seats_left() }
    end,
  },
}
