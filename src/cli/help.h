/* What `perigee help COMMAND` says beyond the usage line. */
#pragma once

/* NULL: nothing. */
const char *help_text(const char *command);
