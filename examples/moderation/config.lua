-- How do I look at what users write before others see it? The publish hook of a namespace may
-- refuse a message, change it, tag it, or leave it alone.

local perigee = require "perigee"

local TEXT_MAX = 200
local BAD_WORDS = { "darn", "heck" }

-- "Heck" → "[Hh][Ee][Cc][Kk]": patterns have no flag for "in any case".
local function any_case(word)
  return (word:gsub("%a", function(letter)
    return "[" .. letter:upper() .. letter:lower() .. "]"
  end))
end

local patterns = {}
for i, word in ipairs(BAD_WORDS) do
  patterns[i] = any_case(word)
end

local function cleaned(text)
  local hits = 0
  for _, pattern in ipairs(patterns) do
    local count
    text, count = text:gsub(pattern, "***")
    hits = hits + count
  end
  return text, hits
end

return {
  http_server = { address = "127.0.0.1", port = 8000 },
  http_api = { key = os.getenv "PERIGEE_API_KEY" },
  client = { token = { hmac_secret_key = os.getenv "PERIGEE_TOKEN_SECRET" } },
  channel = {
    namespaces = {
      talk = {
        allow_subscribe_for_client = true,
        allow_publish_for_subscriber = true,
        publication_data_format = "json_object", -- so req.data is a table
        hooks = {
          publish = function(_, req)
            local text = req.data.text
            if type(text) ~= "string" or #text > TEXT_MAX then
              return perigee.error(400, "text must be a string of at most 200 bytes")
            end
            local clean, hits = cleaned(text)
            if hits == 0 then
              return nil -- the options decide, and the data goes out byte for byte as it came
            end
            req.data.text = clean
            return { data = req.data, tags = { moderated = tostring(hits) } }
          end,
        },
      },
    },
  },
}
