/* The pool: every index once with borders that depend on n and grain alone, failures, nesting,
 * interruption, fork, many callers, signals. */
#include "ek_test.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void busy(double span) {
    for (const double end = seconds() + span; seconds() < end;) {
    }
}

enum { MOST = 3000 };

typedef struct {
    size_t n, grain;
    _Atomic int seen[MOST];
    _Atomic int wrong;
} cover;

static ek_status mark_range(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    cover *c = ctx;
    const size_t wanted = begin + c->grain < c->n ? begin + c->grain : c->n;
    if (begin % c->grain != 0 || end != wanted || tmp == NULL) c->wrong++;
    for (size_t i = begin; i < end; i++) c->seen[i]++;
    return EK_OK;
}

static int covers(size_t n, size_t grain) {
    cover *c = calloc(1, sizeof *c);
    c->n = n;
    c->grain = grain ? grain : 1;
    const ek_status st = ek_parallel_for(n, grain, mark_range, c);
    int good = st == EK_OK && c->wrong == 0;
    for (size_t i = 0; i < MOST; i++) good = good && c->seen[i] == (i < n);
    free(c);
    return good;
}

static void every_index_once_for_any_thread_count(void) {
    const size_t ns[] = {0, 1, 2, 3, 7, 64, 65, 1000, MOST}, grains[] = {0, 1, 2, 3, 64, 999, 5000};
    for (size_t threads = 1; threads <= 9; threads += 2) {
        ek_threads_set(threads);
        for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
            for (size_t k = 0; k < sizeof grains / sizeof *grains; k++)
                CHECK(covers(ns[i], grains[k]));
    }
    ek_threads_set(0);
}

static ek_status fail_from(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    (void)end, (void)tmp;
    const size_t first = *(size_t *)ctx;
    if (begin == first) return EK_EVALUE;
    return begin > first ? EK_ESHAPE : EK_OK;
}

static void a_failing_piece_ends_the_call_with_its_status(void) {
    for (size_t threads = 1; threads <= 4; threads++) {
        ek_threads_set(threads);
        size_t first = 0;
        CHECK_STATUS(ek_parallel_for(1000, 1, fail_from, &first), EK_EVALUE);
        first = 2000;
        CHECK_STATUS(ek_parallel_for(1000, 1, fail_from, &first), EK_OK);
        CHECK(covers(100, 3)); /* and the pool goes on */
    }
    ek_threads_set(0);
}

static ek_status nested(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    (void)begin, (void)end;
    if (ek_arena_f32(tmp, 1000) == NULL) return EK_ENOMEM;
    if (!covers(500, 7)) *(_Atomic int *)ctx = 1;
    return EK_OK;
}

static void nested_calls_run_where_they_are(void) {
    _Atomic int wrong = 0;
    ek_threads_set(4);
    CHECK_STATUS(ek_parallel_for(50, 1, nested, &wrong), EK_OK);
    CHECK(wrong == 0);
    ek_threads_set(0);
}

static ek_status spin(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    (void)begin, (void)end, (void)tmp;
    busy(*(double *)ctx);
    return EK_OK;
}

typedef struct {
    pthread_t home;
    double started, last;
    int asked, elsewhere, too_soon;
} asker;

static int stop_after_100_ms(void *arg) {
    asker *a = arg;
    const double now = seconds();
    if (!pthread_equal(pthread_self(), a->home)) a->elsewhere++;
    if (a->asked++ > 0 && now - a->last < 0.0199) a->too_soon++;
    a->last = now;
    return now - a->started > 0.1;
}

static void the_caller_is_asked_and_can_stop(void) {
    for (size_t threads = 1; threads <= 3; threads++) {
        asker a = {.home = pthread_self(), .started = seconds()};
        ek_scope s;
        double piece = 0.002;
        ek_scope_enter(&s, threads, stop_after_100_ms, &a);
        CHECK_STATUS(ek_parallel_for(100000, 1, spin, &piece), EK_EINTR);
        CHECK_STATUS(ek_poll(), EK_EINTR); /* once stopped, stopped */
        ek_scope_leave(&s);
        CHECK(seconds() - a.started < 1.0);
        CHECK(a.elsewhere == 0 && a.too_soon == 0 && a.asked >= 2);
        CHECK_STATUS(ek_poll(), EK_OK);
        CHECK(covers(100, 1));
    }
}

/* A worker sits in a long piece while the caller has nothing left to do: the caller still asks. */
static _Atomic int second_taken;
static ek_status long_second(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    (void)end, (void)tmp;
    const pthread_t home = *(pthread_t *)ctx;
    if (pthread_equal(pthread_self(), home)) {
        while (begin == 0 && !second_taken) {
        }
    } else {
        second_taken = 1;
        busy(0.3);
    }
    return EK_OK;
}

static void the_caller_is_asked_while_it_waits(void) {
    asker a = {.home = pthread_self(), .started = seconds()};
    ek_scope s;
    second_taken = 0;
    ek_scope_enter(&s, 2, stop_after_100_ms, &a);
    CHECK_STATUS(ek_parallel_for(2, 1, long_second, &a.home), EK_EINTR);
    ek_scope_leave(&s);
    CHECK(a.asked >= 3 && a.elsewhere == 0);
}

static void *caller(void *arg) {
    for (int i = 0; i < 300; i++)
        if (!covers(200 + (size_t)i, 3)) *(_Atomic int *)arg = 1;
    return NULL;
}

static void many_callers_at_once(void) {
    enum { CROWD = 8 };
    pthread_t crowd[CROWD];
    _Atomic int wrong = 0;
    ek_threads_set(4);
    for (int i = 0; i < CROWD; i++) CHECK(pthread_create(&crowd[i], NULL, caller, &wrong) == 0);
    for (int i = 0; i < CROWD; i++) pthread_join(crowd[i], NULL);
    CHECK(wrong == 0);
    ek_threads_set(0);
}

static void *setter(void *arg) {
    for (size_t n = 0; !*(_Atomic int *)arg; n++) {
        ek_threads_set(n % 6);
        CHECK(ek_threads_get() >= 1);
    }
    return NULL;
}

static void the_thread_setting_may_change_at_any_moment(void) {
    pthread_t id;
    _Atomic int over = 0;
    CHECK(pthread_create(&id, NULL, setter, &over) == 0);
    for (int i = 0; i < 500; i++) CHECK(covers(300, 2));
    over = 1;
    pthread_join(id, NULL);
    ek_threads_set(1000000);
    CHECK(ek_threads_get() < 1000);
    CHECK(covers(MOST, 1));
    ek_threads_set(0);
    CHECK(ek_threads_get() == ek_threads_affinity() && ek_threads_get() >= 1);
}

#ifndef __SANITIZE_THREAD__ /* TSan delivers signals its own way, and does not follow a fork of    \
                               many threads */
static void workers_leave_signals_to_the_program(void) {
    sigset_t one, before, pending;
    ek_threads_set(4);
    CHECK(covers(100, 1)); /* the workers exist now */
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    signal(SIGUSR1, SIG_DFL); /* a worker that took it would end the process */
    pthread_sigmask(SIG_BLOCK, &one, &before);
    kill(getpid(), SIGUSR1);
    busy(0.05);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1) == 1);
    int got = 0;
    CHECK(sigwait(&one, &got) == 0 && got == SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ek_threads_set(0);
}

static int child_is_well(int (*work)(void)) {
    const pid_t child = fork();
    if (child == 0) _exit(work() ? 0 : 1);
    for (int tick = 0; tick < 500; tick++) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        usleep(10000);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}

static int covers_twice(void) {
    return covers(1000, 1) && covers(777, 5);
}

static int grandchild_covers(void) {
    return covers_twice() && child_is_well(covers_twice);
}

static void a_child_has_a_pool_of_its_own(void) {
    ek_threads_set(3);
    CHECK(covers(100, 1));
    for (int i = 0; i < 20; i++) CHECK(child_is_well(covers_twice));
    CHECK(child_is_well(grandchild_covers));
    CHECK(covers(100, 1));
    ek_threads_set(0);
}

static _Atomic int over;
static void *keeps_the_pool_busy(void *arg) {
    double piece = 0.0002;
    (void)arg;
    while (!over)
        if (ek_parallel_for(50, 1, spin, &piece) != EK_OK) abort();
    return NULL;
}

static void *borrows_all_the_time(void *arg) {
    (void)arg;
    while (!over) ek_arena_return(ek_arena_borrow());
    return NULL;
}

static void fork_while_other_threads_own_the_pool_and_its_locks(void) {
    pthread_t a, b;
    over = 0;
    ek_threads_set(3);
    CHECK(pthread_create(&a, NULL, keeps_the_pool_busy, NULL) == 0);
    CHECK(pthread_create(&b, NULL, borrows_all_the_time, NULL) == 0);
    for (int i = 0; i < 200; i++) CHECK(child_is_well(covers_twice));
    over = 1;
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    ek_threads_set(0);
}

/* Runs first: nothing has started the pool, and a lock of it is taken all the same. */
static void fork_before_the_pool_ever_ran(void) {
    pthread_t b;
    over = 0;
    CHECK(pthread_create(&b, NULL, borrows_all_the_time, NULL) == 0);
    for (int i = 0; i < 300 && ek_failures == 0; i++) CHECK(child_is_well(covers_twice));
    over = 1;
    pthread_join(b, NULL);
}

/* The poll hook may run anything, fork included: the child cannot finish the parent's job and says
 * so. */
static int fork_once(void *arg) {
    pid_t *child = arg;
    if (*child == -1) *child = fork();
    return 0;
}

static void a_fork_inside_the_poll_hook_is_no_success_in_the_child(void) {
    pid_t child = -1;
    ek_scope s;
    double piece = 0.005;
    ek_scope_enter(&s, 2, fork_once, &child);
    const ek_status st = ek_parallel_for(60, 1, spin, &piece);
    ek_scope_leave(&s);
    if (child == 0) _exit(st != EK_OK && covers_twice() ? 0 : 1);
    CHECK_STATUS(st, EK_OK);
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

typedef struct {
    pthread_t caller;
    int caller_cpu;
    _Atomic int met;    /* pieces that a worker ran */
    _Atomic int shared; /* of them, those that might have run on the caller's core */
} places;

static ek_status look_where(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    places *p = ctx;
    cpu_set_t cpus;
    (void)begin, (void)end, (void)tmp;
    busy(2e-3);
    if (pthread_equal(pthread_self(), p->caller)) return EK_OK;
    p->met++;
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0 || CPU_ISSET(p->caller_cpu, &cpus))
        p->shared++;
    return EK_OK;
}

static void workers_keep_off_the_callers_core(void) {
    cpu_set_t before, here;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    if (CPU_COUNT(&before) < 2) return;
    ek_scope s;
    ek_scope_enter(&s, 2, NULL, NULL);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &before)) continue;
        CPU_ZERO(
            &here); /* move there, then be free again: the scheduler leaves a busy thread alone */
        CPU_SET(cpu, &here);
        CHECK(sched_setaffinity(0, sizeof here, &here) == 0);
        CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
        places p = {pthread_self(), sched_getcpu(), 0, 0};
        CHECK_STATUS(ek_parallel_for(20, 1, look_where, &p), EK_OK);
        if (sched_getcpu() == p.caller_cpu) CHECK(p.shared == 0);
    }
    ek_scope_leave(&s);
}

TEST_MAIN(
#ifndef __SANITIZE_THREAD__
    {"fork before the pool ever ran", fork_before_the_pool_ever_ran},
#endif
    {"every index once for any thread count", every_index_once_for_any_thread_count},
    {"a failing piece ends the call with its status",
     a_failing_piece_ends_the_call_with_its_status},
    {"nested calls run where they are", nested_calls_run_where_they_are},
    {"the caller is asked and can stop", the_caller_is_asked_and_can_stop},
    {"the caller is asked while it waits", the_caller_is_asked_while_it_waits},
    {"many callers at once", many_callers_at_once},
    {"workers keep off the caller's core", workers_keep_off_the_callers_core},
    {"the thread setting may change at any moment", the_thread_setting_may_change_at_any_moment},
#ifndef __SANITIZE_THREAD__
    {"a child has a pool of its own", a_child_has_a_pool_of_its_own},
    {"fork while other threads own the pool", fork_while_other_threads_own_the_pool_and_its_locks},
    {"a fork inside the poll hook is no success in the child",
     a_fork_inside_the_poll_hook_is_no_success_in_the_child},
    {"workers leave signals to the program", workers_leave_signals_to_the_program},
#endif
)
