/* Carries out the server's orders (core/control.h) for this worker's clients. Worker thread. */
#pragma once

#include "core/control.h"

control_fn client_control;
