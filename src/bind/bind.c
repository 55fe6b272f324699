#include "bind/bind.h"

#include "bind/bind_api.h"
#include "bind/bind_client.h"
#include "bind/bind_http.h"
#include "script/hook.h"

void bind_open(struct script *s, lua_State *L)
{
    bind_api_open(s, L);
    bind_client_open(L);
    bind_http_open(L);
    hook_set_client_view(s, bind_client_push);
}

static void run_hook(struct core *core, enum hook which)
{
    if (hook_is_set(core->script, 0, which))
        hook_run(core->script, 0, which, &(struct hook_request){0}, NULL, NULL);
}

void bind_start(struct core *core)
{
    run_hook(core, HOOK_START);
}

void bind_reload(struct core *core)
{
    run_hook(core, HOOK_RELOAD);
}

void bind_stop(struct core *core)
{
    run_hook(core, HOOK_STOP);
}
