/* The process's table of file descriptors. */
#pragma once

/* Makes the kernel's table as large as many connections need. It grows by doubling otherwise, and
 * where threads share it, each time the thread that accepts waits up to 15 ms for all others to
 * have noticed. Before any thread starts; best effort. */
void files_reserve(void);
