return function(t)
  local suggest = require "perigee.suggest"

  t.case("distance counts inserts, deletes, replacements and swaps", function()
    t.equal(suggest.distance("port", "port", 3), 0)
    t.equal(suggest.distance("prot", "port", 3), 1)
    t.equal(suggest.distance("por", "port", 3), 1)
    t.equal(suggest.distance("ports", "port", 3), 1)
    t.equal(suggest.distance("past", "port", 3), 2)
    t.equal(suggest.distance("", "abc", 3), 3)
  end)

  t.case("distance gives up beyond its limit", function()
    t.equal(suggest.distance("history", "presence", 3), nil)
    t.equal(suggest.distance("a", "abcdef", 2), nil)
  end)

  t.case("the nearest of several names wins, the alphabet among equals", function()
    t.equal(suggest.nearest("presense", { "prefix", "presence", "present" }), "presence")
    t.equal(suggest.nearest("ab", { "ad", "ac" }), "ac")
  end)

  t.case("nothing is suggested when nothing is near", function()
    t.equal(suggest.nearest("completely_different", { "presence", "history" }), nil)
    t.equal(suggest.nearest(("x"):rep(100000), { "x" }), nil)
  end)
end
