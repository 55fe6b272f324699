#include "client/occupancy.h"

#include "base/mem.h"
#include "script/hook.h"

/* Hooks that run at once; further channels queue, so that many who leave together do not exhaust
 * the calls that may wait. */
#define RUNNING_MAX 1000

/* A channel about which something is still to be told. */
struct place {
    struct map_node by_name;
    struct list in_ready; /* of those whose turn has come but who must queue */
    struct occupancy *of;
    struct timer delay; /* set while it is empty, and the delay not over */
    bool occupied;      /* the truth */
    bool told;          /* what hooks heard last */
    bool running;       /* a hook hears it now */
    char name[];
};

struct occupancy {
    struct core *core;
    struct map places;
    struct list ready;
    unsigned running;
    bool draining; /* the queue is being walked */
    bool hurried, stopped;
};

struct occupancy *occupancy_new(struct core *core)
{
    struct occupancy *o = mem_zalloc(sizeof *o);

    o->core = core;
    list_init(&o->ready);
    return o;
}

static void place_free(struct place *p)
{
    timer_unset(&p->of->core->worker->timers, &p->delay);
    list_del(&p->in_ready);
    map_del(&p->of->places, &p->by_name);
    mem_free(p);
}

static void step(struct place *p);

static void drain(struct occupancy *o)
{
    if (o->draining)
        return;
    o->draining = true;
    while (!list_empty(&o->ready) && o->running < RUNNING_MAX) {
        struct place *p = container_of(o->ready.next, struct place, in_ready);

        list_del(&p->in_ready);
        step(p);
    }
    o->draining = false;
}

static void on_told(void *arg, const struct hook_verdict *verdict)
{
    struct place *p = arg;
    struct occupancy *o = p->of;

    p->running = false;
    o->running--;
    step(p);
    drain(o);
}

/* Tells the hooks what is true now; p may be gone afterwards. */
static void tell(struct place *p)
{
    struct script *script = p->of->core->script;
    enum hook which = p->occupied ? HOOK_OCCUPIED : HOOK_VACATED;
    unsigned row = script ? hook_row(script, map_key(&p->by_name)) : 0;

    p->told = p->occupied;
    if (!hook_is_set(script, row, which)) {
        step(p);
        return;
    }
    p->running = true;
    p->of->running++;
    hook_run(script, row, which, &(struct hook_request){.channel = map_key(&p->by_name)}, on_told,
             p);
}

/* Goes on as far as it can; p may be gone afterwards. */
static void step(struct place *p)
{
    struct occupancy *o = p->of;

    if (p->running || !list_empty(&p->in_ready))
        return; /* its time will come */
    if (p->told == p->occupied || o->stopped) {
        place_free(p);
        map_fit(&o->places);
    } else if (timer_is_set(&p->delay)) {
        return;
    } else if (o->running < RUNNING_MAX) {
        tell(p);
    } else {
        list_add_tail(&o->ready, &p->in_ready);
    }
}

static void on_delay_over(struct timer *t)
{
    step(container_of(t, struct place, delay));
}

static bool anybody_listens(const struct occupancy *o, struct str channel)
{
    struct script *script = o->core->script;
    unsigned row;

    if (!hook_is_set_anywhere(script, HOOK_OCCUPIED) && !hook_is_set_anywhere(script, HOOK_VACATED))
        return false;
    row = hook_row(script, channel);
    return hook_is_set(script, row, HOOK_OCCUPIED) || hook_is_set(script, row, HOOK_VACATED);
}

static struct place *place_new(struct occupancy *o, struct str channel, bool told)
{
    struct place *p = mem_zalloc(sizeof *p + channel.len);

    p->of = o;
    p->told = told;
    p->delay = TIMER_INIT(on_delay_over);
    list_init(&p->in_ready);
    memcpy(p->name, channel.ptr, channel.len);
    map_add(&o->places, &p->by_name, str_of(p->name, channel.len));
    return p;
}

void occupancy_changed(struct occupancy *o, struct str channel, bool occupied)
{
    struct worker *w = o->core->worker;
    struct map_node *node = map_get(&o->places, channel);
    struct place *p;

    if (node)
        p = container_of(node, struct place, by_name);
    else if (o->stopped || !anybody_listens(o, channel))
        return;
    else
        p = place_new(o, channel, !occupied);
    p->occupied = occupied;
    if (occupied)
        timer_unset(&w->timers, &p->delay);
    else if (!o->hurried)
        timer_set(&w->timers, &p->delay,
                  w->now_ms + (uint64_t)o->core->settings->channel_vacated_event_delay_ms);
    step(p);
}

void occupancy_hurry(struct occupancy *o)
{
    struct map_iter it;

    o->hurried = true;
    map_each (&o->places, &it, node) {
        struct place *p = container_of(node, struct place, by_name);

        if (!timer_is_set(&p->delay))
            continue;
        timer_unset(&o->core->worker->timers, &p->delay);
        if (list_empty(&p->in_ready))
            list_add_tail(&o->ready, &p->in_ready);
    }
    drain(o);
}

bool occupancy_is_idle(const struct occupancy *o)
{
    return o->places.count == 0;
}

void occupancy_stop(struct occupancy *o)
{
    o->stopped = true;
}

void occupancy_free(struct occupancy *o)
{
    struct map_iter it;

    map_each (&o->places, &it, node)
        place_free(container_of(node, struct place, by_name));
    map_deinit(&o->places);
    mem_free(o);
}
