/* The only way from one thread to another: an intrusive queue with many posters and one owner.
 * First in, first out per poster; mail posted to oneself keeps that order too, and costs neither an
 * atomic exchange nor a system call. No order holds between two posters. Mail to oneself is never
 * delivered from inside mailbox_post: it comes before the loop sleeps. */
#pragma once

#include "base/base.h"

#include <uv.h>

struct worker;
struct mail;

/* Called once on the owner's thread; it owns the mail from here on. */
typedef void mail_fn(struct worker *w, struct mail *m);

struct mail {
    struct mail *next;
    mail_fn *deliver;
};

struct mailbox;

struct mailbox *mailbox_new(struct worker *owner); /* the owner's loop exists already */
void mailbox_close(struct mailbox *mb);            /* closes the wake-up handle; owner thread */
/* After the loop has ended and every thread that posts is joined: mail that comes after the loop's
 * end stays undelivered, and only whoever sent it could have freed it. */
void mailbox_free(struct mailbox *mb);
void mailbox_post(struct mailbox *mb, struct mail *m); /* any thread; the mailbox owns m now */
size_t mailbox_depth(struct mailbox *mb);              /* posted, not delivered yet; any thread */
/* Delivers what is there, at most max from oneself and max from others; returns how many. Owner
 * thread. */
size_t mailbox_drain(struct mailbox *mb, size_t max);
bool mailbox_waits(struct mailbox *mb); /* something is left to drain; owner thread */
void mailbox_unref(struct mailbox *mb); /* no longer keeps the loop running; owner thread */
