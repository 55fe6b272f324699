#include "script/tick.h"

#include "base/base.h"

#include <signal.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Debuggers let it pass by default, and nobody sends it by chance. */
#define TICK_SIGNAL SIGVTALRM

/* ThreadSanitizer holds signals back until the thread calls something it knows. */
#ifdef __SANITIZE_THREAD__
#define SIGNALS_COME_AT_ONCE false
#else
#define SIGNALS_COME_AT_ONCE true
#endif

bool tick_start(struct tick *t, uint64_t interval_ns, void (*fn)(int signal))
{
    struct sigaction action = {.sa_handler = fn, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TICK_SIGNAL};
    struct timespec interval = {(time_t)(interval_ns / 1000000000),
                                (long)(interval_ns % 1000000000)};
    struct itimerspec times = {interval, interval};

    t->is_on = false;
    event.sigev_notify_thread_id = gettid();
    if (!SIGNALS_COME_AT_ONCE || sigaction(TICK_SIGNAL, &action, NULL) != 0 ||
        timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &t->timer) != 0)
        return false;
    t->is_on = timer_settime(t->timer, 0, &times, NULL) == 0;
    if (!t->is_on)
        timer_delete(t->timer);
    return t->is_on;
}

void tick_stop(struct tick *t)
{
    if (t->is_on)
        timer_delete(t->timer);
    t->is_on = false;
}
