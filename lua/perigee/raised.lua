-- What a user's program raised, as text for its author: with the calls of his own files that led
-- there, and without ours.

local assertions = require "perigee.assertions"

local M = {}

---A message handler for xpcall.
---@param driver table  of src/cli/driver.c
---@return fun(raised: any): string
function M.handler(driver)
  return function(raised)
    if type(raised) == "table" and raised.failure then -- of assertions: it names its place
      return raised.failure
    end
    local lines = {}
    for line in driver.traceback():gmatch "[^\n]+" do
      if not line:match "^%s*%[C%]" and not line:match "^%s*perigee%." then
        lines[#lines + 1] = line
      end
    end
    local text = type(raised) == "table" and assertions.show(raised) or tostring(raised)
    return text .. (#lines > 1 and "\n" .. table.concat(lines, "\n") or "")
  end
end

return M
