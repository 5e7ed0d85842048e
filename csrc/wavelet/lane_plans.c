/* The cache of lane plans: most recent first, one lock, a plan in use is never freed. Making one
 * takes about as long as a tenth of a record, so a plan is made outside the lock; two threads may
 * make the same one, and one of them is dropped. */
#include "full.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct {
    pthread_mutex_t lock;
    ek_lane_plan *newest;
    size_t count;
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

static int same(const ek_lane_key *a, const ek_lane_key *b) {
    const ek_wavelet_spec *s = a->spec, *r = b->spec;
    if ((a->grid == NULL) != (b->grid == NULL) ||
        (a->grid != NULL && (a->grid->length != b->grid->length || a->grid->left != b->grid->left)))
        return 0;
    return a->t == b->t && a->window == b->window && a->width == b->width &&
           a->blocks == b->blocks && a->block_stride == b->block_stride && s->rows == r->rows &&
           s->fs == r->fs && s->w0 == r->w0 && s->pad == r->pad &&
           memcmp(s->freqs, r->freqs, s->rows * sizeof *s->freqs) == 0;
}

static void destroy(ek_lane_plan *p) {
    ek_fft_put(p->forward);
    ek_fft_put(p->forward_near);
    ek_full_free(p);
    ek_arena_free(p->memory);
    free(p);
}

static ek_lane_plan *find(const ek_lane_key *key) { /* with the lock; moves it to the front */
    for (ek_lane_plan **at = &cache.newest; *at != NULL; at = &(*at)->next) {
        ek_lane_plan *p = *at;
        if (!same(&p->key, key)) continue;
        *at = p->next;
        p->next = cache.newest;
        cache.newest = p;
        p->users++;
        return p;
    }
    return NULL;
}

static void drop_oldest_unused(void) { /* with the lock */
    ek_lane_plan **victim = NULL;
    for (ek_lane_plan **at = &cache.newest; *at != NULL; at = &(*at)->next)
        if ((*at)->users == 0) victim = at;
    if (victim == NULL) return;
    ek_lane_plan *p = *victim;
    *victim = p->next;
    cache.count--;
    destroy(p);
}

static ek_status make(const ek_lane_key *key, ek_lane_plan **plan) {
    ek_lane_plan *p = calloc(1, sizeof *p);
    if (p == NULL) return EK_ENOMEM;
    p->memory = ek_arena_new();
    double *freqs = p->memory ? ek_arena_f64(p->memory, key->spec->rows) : NULL;
    ek_status st = EK_ENOMEM;
    if (freqs != NULL) {
        memcpy(freqs, key->spec->freqs, key->spec->rows * sizeof *freqs);
        p->spec = *key->spec;
        p->spec.freqs = freqs;
        p->key = *key;
        p->key.spec = &p->spec;
        if (key->grid != NULL) {
            p->grid = *key->grid;
            p->key.grid = &p->grid;
        }
        st = ek_lane_plan_make(p);
    }
    if (st != EK_OK) {
        destroy(p);
        return st;
    }
    *plan = p;
    return EK_OK;
}

ek_status ek_lane_plan_get(const ek_lane_key *key, ek_lane_plan **plan) {
    ek_lane_plan *fresh = NULL;
    pthread_once(&once, install_fork_handlers);
    pthread_mutex_lock(&cache.lock);
    *plan = find(key);
    pthread_mutex_unlock(&cache.lock);
    if (*plan != NULL) return EK_OK;
    const ek_status st = make(key, &fresh);
    if (st != EK_OK) return st;
    pthread_mutex_lock(&cache.lock);
    *plan = find(key);
    if (*plan == NULL) {
        fresh->next = cache.newest;
        fresh->users = 1;
        cache.newest = *plan = fresh;
        fresh = NULL;
        if (++cache.count > EK_LANE_PLANS) drop_oldest_unused();
    }
    pthread_mutex_unlock(&cache.lock);
    if (fresh != NULL) destroy(fresh);
    return EK_OK;
}

void ek_lane_plan_put(ek_lane_plan *plan) {
    if (plan == NULL) return;
    pthread_mutex_lock(&cache.lock);
    plan->users--;
    if (cache.count > EK_LANE_PLANS) drop_oldest_unused();
    pthread_mutex_unlock(&cache.lock);
}

size_t ek_lane_plan_count(void) {
    pthread_mutex_lock(&cache.lock);
    const size_t n = cache.count;
    pthread_mutex_unlock(&cache.lock);
    return n;
}
