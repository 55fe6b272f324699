-- TOML as configuration files have it, and what is refused with its line.
return function(t)
  local toml = require "perigee.toml"

  local function reads(text, expected)
    local tree, problem = toml.read(text)
    t.equal(problem, nil)
    t.equal(tree, expected)
  end
  local function refuses(text, piece)
    local tree, problem = toml.read(text)
    t.equal(tree, nil)
    t.contains(problem, piece)
  end

  t.case("keys, tables and arrays of tables", function()
    reads([==[
# a comment
title = "x"   # another
a.b.c = 1
'quoted key' = true
"also \u00e4" = false

[client]
allowed_origins = [ "https://a.test", # why
  'https://b.test',
]
[client.token]
hmac_secret_key = "k"

[[channel.namespaces]]
name = "chat"
history_size = 10
[channel.namespaces.map]
mode = "x"
[[channel.namespaces]]
name = "news"
]==], {
      title = "x", a = { b = { c = 1 } }, ["quoted key"] = true, ["also ä"] = false,
      client = { allowed_origins = { "https://a.test", "https://b.test" }, token = { hmac_secret_key = "k" } },
      channel = { namespaces = { { name = "chat", history_size = 10, map = { mode = "x" } }, { name = "news" } } },
    })
  end)

  t.case("a table may come before or after its parts", function()
    reads("[a.b]\nx = 1\n[a]\ny = 2\n[a.c]\n", { a = { b = { x = 1 }, y = 2, c = {} } })
    reads("p = { x = 1, y.z = 2, e = {} }\nq = [ { x = 1 }, {} ]\n", { p = { x = 1, y = { z = 2 }, e = {} }, q = { { x = 1 }, {} } })
  end)

  t.case("strings", function()
    reads([[a = "tab\t\"q\" \\ \u00E9 \U0001F600"]], { a = 'tab\t"q" \\ é 😀' })
    reads([[a = 'C:\x\y']], { a = "C:\\x\\y" })
    reads('a = """\none\ntwo \\\n   three"""', { a = "one\ntwo three" })
    reads('a = """x""""', { a = 'x"' })
    reads('a = """"x" and ""y"""', { a = '"x" and ""y' })
    reads("a = '''\nraw \\n\n'''", { a = "raw \\n\n" })
    reads("a = '''x''''", { a = "x'" })
    reads('a = ""\nb = \'\'', { a = "", b = "" })
    reads('a = "x"\r\nb = 1\r\n', { a = "x", b = 1 })
  end)

  t.case("numbers and booleans", function()
    reads("a = 1_000\nb = -17\nc = +1\nd = 0xDEAD_beef\ne = 0o755\nf = 0b101\ng = 3.5\nh = -1e3\ni = 6.02e+2\nj = 0",
      { a = 1000, b = -17, c = 1, d = 0xdeadbeef, e = 493, f = 5, g = 3.5, h = -1000.0, i = 602.0, j = 0 })
    reads("a = inf\nb = -inf", { a = math.huge, b = -math.huge })
    for _, bad in ipairs { "01", "1__0", "_1", "1_", "0x", "1.", ".5", "1.e3", "tru", "0b2", "+0x1", "9e", "--1", "1_.5" } do
      refuses("\na = " .. bad, "line 2: ")
    end
  end)

  t.case("what is refused", function()
    refuses("a = 1\na = 2", "line 2: a was given already")
    refuses("[a]\n[a]", "line 2: a was given already")
    refuses("a.b = 1\na.b.c = 2", "line 2: b was given already")
    refuses("a = 1\n[a]", "line 2: a was given already")
    refuses("a = [1]\n[[a]]", "line 2: a is no array of tables")
    refuses("a = {}\n[a.b]", "line 2: a is no table that can be continued")
    refuses("[[a]]\n[a]", "line 2: a was given already")
    refuses("a = ", "line 1: a value expected")
    refuses("a", 'line 1: "=" expected')
    refuses("= 1", "line 1: a key expected")
    refuses("a = 1 b = 2", "line 1: the line does not end here")
    refuses('a = "x', "line 1: a string does not end")
    refuses('a = "x\ny"', "line 1: a string does not end")
    refuses('a = "\\x"', "line 1: unknown escape in a string")
    refuses('a = "\\ud800"', "line 1: not a character")
    refuses("a = [1, 2", "line 1: ")
    refuses("a = { x = 1,\n}", "line 1: ")
    refuses("a = { x = 1, }", 'line 1: a key expected behind ","')
    refuses("a = 1979-05-27", "line 1: dates are not supported")
    refuses("a = 07:32:00", "line 1: dates are not supported")
    refuses("a = " .. ("["):rep(100), "line 1: too deep")
  end)

  t.case("any text is read or refused", function()
    local pieces = { "a", ".", "=", "[", "]", "[[", "]]", "{", "}", '"', "'", '"""', "'''", "\\", "\n", ",", "1", "_", "#", " ", "e", "true" }
    local seed, read = 11, 0
    for _ = 1, 5000 do
      local text = {}
      for i = 1, 14 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        text[i] = pieces[seed // 65536 % #pieces + 1]
      end
      local tree, problem = toml.read(table.concat(text))
      t.equal(tree == nil, problem ~= nil)
      read = read + (tree and 1 or 0)
    end
    t.truthy(read > 0)
  end)
end
