// Shows that the confinement holds: tries what a worker must not be able to do and reports how each attempt ended.
//
// A request `{kind="probe"}` is answered by `{ok=true, free=[…], confined=[…]}`, two lists of the same attempts made
// before and after confinement, each `{name, errno}` with 0 for success. Confined, each ends with EPERM. What is tried
// does no harm where it succeeds. `free` shows that the attempts can succeed, so that the proof can fail.
#ifndef KEYTURN_PROBE_H
#define KEYTURN_PROBE_H

enum { PROBE_COUNT = 10 };

typedef struct {
    int errors[PROBE_COUNT];
} probe_results;

/// Makes all attempts.
probe_results probe_run(void);

/// Answers on the channel.
void probe_answer(const probe_results *free, const probe_results *confined);

#endif
