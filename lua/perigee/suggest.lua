-- The nearest known name, for "did you mean …?".

local M = {}

---Edits (insert, delete, replace, swap of neighbours) between two names; gives up beyond limit.
---@param a string
---@param b string
---@param limit integer
---@return integer? distance  nil when it is above limit
function M.distance(a, b, limit)
  if math.abs(#a - #b) > limit then
    return nil
  end
  local before, last, row = {}, {}, {}
  for j = 0, #b do
    last[j] = j
  end
  for i = 1, #a do
    row = { [0] = i }
    local best = i
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local cost = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        cost = math.min(cost, before[j - 2] + 1)
      end
      row[j] = cost
      best = math.min(best, cost)
    end
    if best > limit then
      return nil
    end
    before, last = last, row
  end
  return last[#b] <= limit and last[#b] or nil
end

---@param name string
---@param known string[]
---@param limit integer?  default: a third of the name, at least 2
---@return string? nearest
---@return integer? distance
function M.nearest(name, known, limit)
  if #name > 200 then
    return nil
  end
  limit = limit or math.max(2, #name // 3)
  local found, least
  for _, candidate in ipairs(known) do
    local distance = M.distance(name, candidate, limit)
    if distance and (not least or distance < least or (distance == least and candidate < found)) then
      found, least = candidate, distance
    end
  end
  return found, least
end

return M
