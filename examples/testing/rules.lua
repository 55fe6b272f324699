-- Plain functions: tests call them without a server.
local M = {}

local RUDE = { "darn", "heck" }

function M.is_polite(text)
  for _, word in ipairs(RUDE) do
    if type(text) ~= "string" or text:lower():find(word, 1, true) then
      return false
    end
  end
  return true
end

function M.contains(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then
      return true
    end
  end
  return false
end

function M.shorten(text, most)
  if utf8.len(text) <= most then
    return text
  end
  return text:sub(1, utf8.offset(text, most) - 1) .. "…"
end

return M
