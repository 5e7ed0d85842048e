/* One process-wide pool. Workers sleep on a condition variable; a job is a range cut into pieces
 * that threads take by an atomic counter. The pool serves one job at a time: whoever finds it taken
 * works alone. After a fork the child starts with no workers and fresh locks. Workers block every
 * signal: those are for the program's threads. */
#include "ek_core.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_WORKERS = 255, MAX_SPARE_ARENAS = 16, SPARE_ARENA_BYTES = 256 << 20 };
static const int64_t POLL_EVERY_NS = 20 * 1000 * 1000;

/* A sleeping thread takes tens of microseconds to wake on a virtual machine, as long as a small
 * job, so threads look for the next job, or for the end of this one, for so long before they
 * sleep. */
static const int64_t LOOK_NS = 100 * 1000;

typedef struct {
    ek_body fn;
    void *ctx;
    size_t n, grain, pieces;
    _Atomic size_t next; /* the next piece nobody has taken */
    _Atomic int stop;    /* a piece failed, or the caller was interrupted */
    size_t failed_piece; /* under pool.lock, which a fork finds unlocked */
    ek_status failed;
} job;

static struct {
    pthread_mutex_t owner; /* held by the thread whose job runs */
    pthread_mutex_t lock;  /* guards the rest */
    pthread_cond_t wake, done;
    size_t workers; /* threads started */
    pthread_t worker_id[MAX_WORKERS];
    cpu_set_t worker_cpus;   /* where they may run; see steer_workers */
    uint64_t forks;          /* how many forks lie between this process and the first */
    _Atomic uint64_t ticket; /* grows with every job */
    job *current;
    size_t wanted;          /* workers that may still join the current job */
    _Atomic size_t running; /* workers inside it */
    ek_arena *spare[MAX_SPARE_ARENAS];
    size_t spares;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static _Atomic size_t thread_setting = 0;
static _Thread_local ek_scope *scope_now;
static _Thread_local job *inside_job; /* whose piece this thread works on */

/* ---- threads and scopes ---- */

size_t ek_threads_affinity(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    const int count = CPU_COUNT(&set);
    return count > 0 ? (size_t)count : 1;
}

size_t ek_threads_get(void) {
    const size_t n = atomic_load(&thread_setting);
    return n ? n : ek_threads_affinity();
}

size_t ek_threads_now(void) {
    if (inside_job) return 1;
    return scope_now && scope_now->threads ? scope_now->threads : ek_threads_get();
}

void ek_threads_set(size_t n) {
    atomic_store(&thread_setting, n > MAX_WORKERS ? MAX_WORKERS : n);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void ek_scope_enter(ek_scope *s, size_t threads, int (*poll)(void *), void *arg) {
    *s = (ek_scope){threads, poll, arg, now_ns(), 0, scope_now};
    scope_now = s;
}

void ek_scope_leave(ek_scope *s) {
    scope_now = s->outer;
}

ek_status ek_poll(void) {
    ek_scope *s = scope_now;
    if (inside_job != NULL && atomic_load(&inside_job->stop)) return EK_EINTR;
    if (s == NULL || s->poll == NULL) return EK_OK;
    if (s->stopped) return EK_EINTR;
    const int64_t t = now_ns();
    if (t - s->last_poll_ns < POLL_EVERY_NS) return EK_OK;
    s->last_poll_ns = t;
    s->stopped = s->poll(s->arg) != 0;
    return s->stopped ? EK_EINTR : EK_OK;
}

/* ---- arenas ---- */

ek_arena *ek_arena_borrow(void) {
    ek_arena *a = NULL;
    pthread_mutex_lock(&pool.lock);
    if (pool.spares > 0) a = pool.spare[--pool.spares];
    pthread_mutex_unlock(&pool.lock);
    return a ? a : ek_arena_new();
}

void ek_arena_return(ek_arena *a) {
    if (a == NULL) return;
    ek_arena_reset(a, 0);
    if (ek_arena_bytes(a) <= SPARE_ARENA_BYTES) {
        pthread_mutex_lock(&pool.lock);
        if (pool.spares < MAX_SPARE_ARENAS) {
            pool.spare[pool.spares++] = a;
            a = NULL;
        }
        pthread_mutex_unlock(&pool.lock);
    }
    ek_arena_free(a);
}

/* ---- jobs ---- */

static void fail(job *j, size_t piece, ek_status st) {
    pthread_mutex_lock(&pool.lock);
    if (j->failed == EK_OK || piece < j->failed_piece) {
        j->failed = st;
        j->failed_piece = piece;
    }
    pthread_mutex_unlock(&pool.lock);
    atomic_store(&j->stop, 1);
}

static void work(job *j) {
    ek_arena *tmp = ek_arena_borrow();
    job *const outer = inside_job;
    inside_job = j;
    while (!atomic_load(&j->stop)) {
        const size_t piece = atomic_fetch_add(&j->next, 1);
        if (piece >= j->pieces) break;
        const size_t begin = piece * j->grain;
        const size_t end = j->n - begin < j->grain ? j->n : begin + j->grain;
        ek_status st = tmp == NULL ? EK_ENOMEM : j->fn(j->ctx, begin, end, tmp);
        if (tmp != NULL) ek_arena_reset(tmp, 0);
        if (st == EK_OK) st = ek_poll(); /* workers have no scope, so only the caller asks */
        if (st == EK_EINTR && atomic_load(&j->stop)) break; /* told to stop: no news */
        if (st != EK_OK) fail(j, piece, st);
    }
    inside_job = outer;
    ek_arena_return(tmp);
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Until there is another job than `seen`, or time is up. */
static void look_for_job(uint64_t seen) {
    const int64_t end = now_ns() + LOOK_NS;
    while (atomic_load(&pool.ticket) == seen && now_ns() < end) relax();
}

/* Until no worker is inside the job, or time is up. */
static void look_for_end(void) {
    const int64_t end = now_ns() + LOOK_NS;
    while (atomic_load(&pool.running) > 0 && now_ns() < end) relax();
}

static void *worker(void *arg) {
    (void)arg;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.current == NULL || pool.wanted == 0 || pool.ticket == seen)
            pthread_cond_wait(&pool.wake, &pool.lock);
        seen = pool.ticket;
        job *j = pool.current;
        pool.wanted--;
        pool.running++;
        pthread_mutex_unlock(&pool.lock);
        work(j);
        pthread_mutex_lock(&pool.lock);
        if (--pool.running == 0) pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.lock);
        look_for_job(seen);
        pthread_mutex_lock(&pool.lock);
    }
    return NULL;
}

static void before_fork(void) {
    pthread_mutex_lock(&pool.lock);
}

static void after_fork_parent(void) {
    pthread_mutex_unlock(&pool.lock);
}

/* The workers and whoever owned the pool stayed in the parent. */
static void after_fork_child(void) {
    pthread_mutex_init(&pool.owner, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.workers = pool.wanted = 0;
    pool.running = 0;
    pool.current = NULL;
    pool.forks++;
}

/* At load, not at the first job: ek_arena_borrow takes pool.lock in calls that share no job. */
__attribute__((constructor)) static void install_fork_handlers(void) {
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* Called with pool.lock held. Fewer workers than asked for is fine. */
static void start_workers(size_t count) {
    if (count > MAX_WORKERS) count = MAX_WORKERS;
    pthread_attr_t attr;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    while (pool.workers < count) {
        if (pthread_create(&pool.worker_id[pool.workers], &attr, worker, NULL) != 0) break;
        CPU_ZERO(&pool.worker_cpus); /* the new one is not steered yet */
        pool.workers++;
    }
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Called with pool.lock held. A worker that is woken on the caller's core waits there for as long
 * as the caller computes (seen on virtual machines: two threads as slow as one), so workers get the
 * caller's cores but the one it is on. */
static void steer_workers(size_t helpers) {
    cpu_set_t cpus;
    const int here = sched_getcpu();
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return;
    if (here >= 0 && here < CPU_SETSIZE && helpers < (size_t)CPU_COUNT(&cpus)) CPU_CLR(here, &cpus);
    if (CPU_EQUAL(&cpus, &pool.worker_cpus)) return;
    for (size_t i = 0; i < pool.workers; i++)
        (void)pthread_setaffinity_np(pool.worker_id[i], sizeof cpus, &cpus);
    pool.worker_cpus = cpus;
}

/* Called with pool.owner held; gives it back. */
static void run_shared(job *j, size_t helpers) {
    pthread_mutex_lock(&pool.lock);
    const uint64_t forks = pool.forks;
    start_workers(helpers);
    steer_workers(helpers);
    pool.current = j;
    pool.wanted = helpers < pool.workers ? helpers : pool.workers;
    pool.ticket++;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);

    work(j);

    pthread_mutex_lock(&pool.lock);
    pool.wanted = 0; /* nobody joins any more */
    if (pool.running > 0) {
        pthread_mutex_unlock(&pool.lock);
        look_for_end();
        pthread_mutex_lock(&pool.lock);
    }
    while (pool.running > 0) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += POLL_EVERY_NS;
        if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&pool.done, &pool.lock, &t);
        if (pool.running > 0) {
            pthread_mutex_unlock(&pool.lock);
            if (ek_poll() != EK_OK) fail(j, j->pieces, EK_EINTR);
            pthread_mutex_lock(&pool.lock);
        }
    }
    const int forked = pool.forks != forks; /* the poll hook forked, and this is the child */
    pool.current = NULL;
    pthread_mutex_unlock(&pool.lock);
    if (forked)
        fail(j, 0, EK_EINTERNAL); /* pieces that a worker held are lost with it */
    else
        pthread_mutex_unlock(&pool.owner);
}

ek_status ek_parallel_for(size_t n, size_t grain, ek_body fn, void *ctx) {
    if (n == 0) return EK_OK;
    if (grain == 0) grain = 1;
    job j = {.fn = fn, .ctx = ctx, .n = n, .grain = grain, .pieces = (n - 1) / grain + 1};
    size_t threads = ek_threads_now();
    if (threads > j.pieces) threads = j.pieces;
    if (threads > 1 && !inside_job && pthread_mutex_trylock(&pool.owner) == 0) {
        run_shared(&j, threads - 1);
    } else {
        work(&j);
    }
    return j.failed;
}
