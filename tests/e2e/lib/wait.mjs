// Waiting with an end. Sanitizer builds are several times slower (PERIGEE_SLOW), so only the
// moment of giving up is stretched, never what a test measures.

export const SLOW = Boolean(process.env.PERIGEE_SLOW);
export const PATIENCE_MS = SLOW ? 30000 : 8000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Rejects with `what` in its message when the promise takes longer than `ms`. */
export async function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what()}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again until the answer is truthy, and returns it. */
export async function until(ask, what, ms = PATIENCE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await sleep(15);
  }
}
