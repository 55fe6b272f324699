/* Carries out the server's orders (core/control.h) for this worker's clients. Worker thread. */
#pragma once

#include "core/control.h"

struct client;

control_fn client_control;
/* The same for one client, whatever the order's target says. */
void client_order(struct client *cl, const struct control_order *order);
