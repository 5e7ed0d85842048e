/* The plan cache: a bounded list in order of last use under one lock. FFTW's planner is not
 * thread-safe, so every call that plans, destroys or touches wisdom holds the lock; execution does
 * not. A plan in use has references and is never destroyed; a dropped one goes with its last
 * reference. */
#include "ek_fft.h"
#include <fftw3.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct ek_fft_plan {
    void *fftw; /* fftwf_plan or fftw_plan */
    ek_fft_kind kind;
    ek_fft_type type;
    size_t n;
    size_t users;
    int cached; /* 0: dropped from the list while in use */
    struct ek_fft_plan *next;
};

static struct {
    pthread_mutex_t lock;
    ek_fft_plan *newest;
    size_t count;
    int effort;
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void) {
    pthread_mutex_lock(&cache.lock);
}

static void after_fork_parent(void) {
    pthread_mutex_unlock(&cache.lock);
}

static void after_fork_child(void) {
    pthread_mutex_init(&cache.lock, NULL);
}

static void install_fork_handlers(void) {
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void lock(void) {
    pthread_once(&once, install_fork_handlers);
    pthread_mutex_lock(&cache.lock);
}

static void unlock(void) {
    pthread_mutex_unlock(&cache.lock);
}

static void *make_f32(ek_fft_kind kind, int n, float *in, float *out, unsigned flags) {
    switch (kind) {
    case EK_FFT_R2C: return fftwf_plan_dft_r2c_1d(n, in, (fftwf_complex *)out, flags);
    case EK_FFT_C2R: return fftwf_plan_dft_c2r_1d(n, (fftwf_complex *)in, out, flags);
    case EK_FFT_FORWARD:
        return fftwf_plan_dft_1d(n, (fftwf_complex *)in, (fftwf_complex *)out, FFTW_FORWARD, flags);
    default:
        return fftwf_plan_dft_1d(n, (fftwf_complex *)in, (fftwf_complex *)out, FFTW_BACKWARD,
                                 flags);
    }
}

static void *make_f64(ek_fft_kind kind, int n, double *in, double *out, unsigned flags) {
    switch (kind) {
    case EK_FFT_R2C: return fftw_plan_dft_r2c_1d(n, in, (fftw_complex *)out, flags);
    case EK_FFT_C2R: return fftw_plan_dft_c2r_1d(n, (fftw_complex *)in, out, flags);
    case EK_FFT_FORWARD:
        return fftw_plan_dft_1d(n, (fftw_complex *)in, (fftw_complex *)out, FFTW_FORWARD, flags);
    default:
        return fftw_plan_dft_1d(n, (fftw_complex *)in, (fftw_complex *)out, FFTW_BACKWARD, flags);
    }
}

static void destroy(ek_fft_plan *p) {
    if (p->type == EK_FFT_F32)
        fftwf_destroy_plan(p->fftw);
    else
        fftw_destroy_plan(p->fftw);
    free(p);
}

static void drop(ek_fft_plan *p) { /* already out of the list */
    cache.count--;
    p->cached = 0;
    if (p->users == 0) destroy(p);
}

static void drop_all(void) {
    while (cache.newest != NULL) {
        ek_fft_plan *p = cache.newest;
        cache.newest = p->next;
        drop(p);
    }
}

static void drop_oldest_unused(void) {
    ek_fft_plan **victim = NULL;
    for (ek_fft_plan **at = &cache.newest; *at != NULL; at = &(*at)->next)
        if ((*at)->users == 0) victim = at;
    if (victim == NULL) return;
    ek_fft_plan *p = *victim;
    *victim = p->next;
    drop(p);
}

static ek_fft_plan *find(ek_fft_kind kind, ek_fft_type type, size_t n) {
    for (ek_fft_plan **at = &cache.newest; *at != NULL; at = &(*at)->next) {
        ek_fft_plan *p = *at;
        if (p->n != n || p->kind != kind || p->type != type) continue;
        *at = p->next;
        p->next = cache.newest;
        cache.newest = p;
        return p;
    }
    return NULL;
}

static ek_fft_plan *make(ek_fft_kind kind, ek_fft_type type, size_t n) {
    const size_t each = type == EK_FFT_F32 ? sizeof(float) : sizeof(double);
    const unsigned flags = cache.effort ? FFTW_MEASURE : FFTW_ESTIMATE;
    ek_fft_plan *p = calloc(1, sizeof *p);
    void *in = ek_aligned_alloc(2 * (n + 1) * each), *out = ek_aligned_alloc(2 * (n + 1) * each);
    if (p != NULL && in != NULL && out != NULL)
        p->fftw = type == EK_FFT_F32 ? make_f32(kind, (int)n, in, out, flags)
                                     : make_f64(kind, (int)n, in, out, flags);
    ek_aligned_free(in);
    ek_aligned_free(out);
    if (p == NULL || p->fftw == NULL) {
        free(p);
        return NULL;
    }
    p->kind = kind;
    p->type = type;
    p->n = n;
    p->cached = 1;
    p->next = cache.newest;
    cache.newest = p;
    cache.count++;
    return p;
}

ek_status ek_fft_get(ek_fft_kind kind, ek_fft_type type, size_t n, ek_fft_plan **plan) {
    *plan = NULL;
    if (n == 0 || n > INT_MAX / 2) return EK_ESHAPE;
    lock();
    ek_fft_plan *p = find(kind, type, n);
    if (p == NULL) p = make(kind, type, n);
    if (p != NULL) {
        p->users++;
        if (cache.count > EK_FFT_CACHE_LIMIT) drop_oldest_unused();
    }
    unlock();
    *plan = p;
    return p == NULL ? EK_ENOMEM : EK_OK;
}

void ek_fft_put(ek_fft_plan *plan) {
    if (plan == NULL) return;
    lock();
    if (--plan->users == 0 && !plan->cached) destroy(plan);
    unlock();
}

void ek_fft_run_f32(const ek_fft_plan *plan, float *in, float *out) {
    switch (plan->kind) {
    case EK_FFT_R2C: fftwf_execute_dft_r2c(plan->fftw, in, (fftwf_complex *)out); break;
    case EK_FFT_C2R: fftwf_execute_dft_c2r(plan->fftw, (fftwf_complex *)in, out); break;
    default: fftwf_execute_dft(plan->fftw, (fftwf_complex *)in, (fftwf_complex *)out);
    }
}

void ek_fft_run_f64(const ek_fft_plan *plan, double *in, double *out) {
    switch (plan->kind) {
    case EK_FFT_R2C: fftw_execute_dft_r2c(plan->fftw, in, (fftw_complex *)out); break;
    case EK_FFT_C2R: fftw_execute_dft_c2r(plan->fftw, (fftw_complex *)in, out); break;
    default: fftw_execute_dft(plan->fftw, (fftw_complex *)in, (fftw_complex *)out);
    }
}

size_t ek_fft_good_size(size_t n) {
    size_t best = 1;
    while (best < n) best *= 2;
    for (size_t odd = 3; odd <= 5; odd += 2)
        for (size_t m = odd; m < best; m *= 2)
            if (m >= n) best = m;
    return best;
}

size_t ek_fft_cache_count(void) {
    lock();
    const size_t n = cache.count;
    unlock();
    return n;
}

void ek_fft_cache_clear(void) {
    lock();
    drop_all();
    unlock();
}

int ek_fft_effort(int effort) {
    lock();
    const int before = cache.effort;
    cache.effort = effort != 0;
    unlock();
    return before;
}

ek_status ek_fft_wisdom_export(ek_fft_type type, char **text) {
    lock();
    char *t = type == EK_FFT_F32 ? fftwf_export_wisdom_to_string() : fftw_export_wisdom_to_string();
    *text = t ? strdup(t) : NULL;
    if (t != NULL && type == EK_FFT_F32) fftwf_free(t);
    if (t != NULL && type == EK_FFT_F64) fftw_free(t);
    unlock();
    return *text == NULL ? EK_ENOMEM : EK_OK;
}

ek_status ek_fft_wisdom_import(ek_fft_type type, const char *text) {
    lock();
    const int good = type == EK_FFT_F32 ? fftwf_import_wisdom_from_string(text)
                                        : fftw_import_wisdom_from_string(text);
    if (good) drop_all();
    unlock();
    return good ? EK_OK : EK_EFORMAT;
}

const char *ek_fft_version(void) {
    return fftwf_version;
}
