-- scripts/check_layers.lua on a made-up tree: it must find what it is there for.
return function(t)
  local function check(files)
    local dir = os.tmpname()
    os.remove(dir)
    for path, text in pairs(files) do
      assert(os.execute(("mkdir -p '%s/src/%s'"):format(dir, path:match("^(.*)/") or "")))
      local file = assert(io.open(dir .. "/src/" .. path, "w"))
      file:write(text)
      file:close()
    end
    local run = assert(io.popen(("lua5.4 '%s/scripts/check_layers.lua' '%s'"):format(t.root, dir)))
    local output = run:read("a")
    local ok = run:close() or false
    assert(os.execute(("rm -rf '%s'"):format(dir)))
    return ok, output:gsub(dir:gsub("%p", "%%%0") .. "/", "")
  end

  t.case("includes to the left are fine, comments do not count", function()
    local ok, output = check {
      ["core/a.c"] = '#include "core/a.h"\n#include "base/b.h"\n#include <uv.h>\n/* pthread_create\n_Atomic */ // _Atomic',
      ["loop/mailbox.c"] = "#include <stdatomic.h>\n_Atomic int x;",
      ["main.c"] = '#include "cli/a.h"',
    }
    t.equal(output, "")
    t.equal(ok, true)
  end)

  t.case("an include to the right is found, also between codec and loop", function()
    local ok, output = check {
      ["base/a.c"] = '\n#include "core/a.h"',
      ["codec/a.h"] = '#include "loop/a.h"',
      ["loop/a.h"] = '#include "codec/a.h"',
      ["client/a.c"] = '#include "main/a.h"',
    }
    t.equal(ok, false)
    t.contains(output, "src/base/a.c:2: base may not include core/a.h")
    t.contains(output, "src/codec/a.h:1: codec may not include loop/a.h")
    t.contains(output, "src/loop/a.h:1: loop may not include codec/a.h")
    t.contains(output, "src/client/a.c:1: client may not include main/a.h")
  end)

  t.case("threads outside of their files are found", function()
    for _, text in ipairs { "#include <stdatomic.h>", "static _Atomic int n;", "pthread_mutex_t m;", "uv_mutex_t m;" } do
      local ok, output = check { ["core/hub.c"] = text }
      t.equal(ok, false)
      t.contains(output, "src/core/hub.c:1: threads and atomics do not belong here")
    end
  end)

  t.case("a folder that is no layer is found, and so is an empty tree", function()
    local ok, output = check { ["misc/a.c"] = "" }
    t.equal(ok, false)
    t.contains(output, "not one of the layers")
    t.equal((check { ["base/readme"] = "" }), false)
  end)
end
