/* The arena: alignment, mark and reset, overflow, growth without moving what was given out. */
#include "ek_test.h"

static void blocks_are_aligned_and_apart(void) {
    ek_arena *a = ek_arena_new();
    CHECK(a != NULL);
    unsigned char *last = NULL;
    for (size_t n = 0; n < 300; n++) {
        unsigned char *p = ek_arena_alloc(a, n, 1);
        CHECK(p != NULL && (uintptr_t)p % 64 == 0);
        CHECK(p != last);
        memset(p, (int)n, n);
        last = p;
    }
    ek_arena_free(a);
}

static void growth_does_not_move_what_was_given_out(void) {
    ek_arena *a = ek_arena_new();
    enum { BLOCKS = 200, SIZE = 40000 };
    unsigned char *p[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        p[i] = ek_arena_alloc(a, SIZE, 1);
        CHECK(p[i] != NULL);
        memset(p[i], i, SIZE);
    }
    for (int i = 0; i < BLOCKS; i++) CHECK(p[i][0] == i && p[i][SIZE - 1] == i);
    ek_arena_free(a);
}

static void reset_to_a_mark_gives_the_same_place_again(void) {
    ek_arena *a = ek_arena_new();
    CHECK(ek_arena_f32(a, 100) != NULL);
    const size_t mark = ek_arena_mark(a);
    float *first = ek_arena_f32(a, 50);
    CHECK(ek_arena_alloc(a, 8 << 20, 1) != NULL); /* another chunk */
    ek_arena_reset(a, mark);
    CHECK(ek_arena_mark(a) == mark);
    CHECK(ek_arena_f32(a, 50) == first);
    ek_arena_free(a);
}

static void what_lies_below_a_mark_survives_a_reset(void) {
    ek_arena *a = ek_arena_new();
    for (size_t big = 1000; big < 40000000; big *= 6) {
        unsigned char *keep = ek_arena_alloc(a, big, 1);
        CHECK(keep != NULL);
        memset(keep, 7, big);
        const size_t mark = ek_arena_mark(a);
        for (int i = 0; i < 4; i++) {
            unsigned char *scratch = ek_arena_alloc(a, big / 2 + 5000000, 1);
            CHECK(scratch != NULL);
            memset(scratch, 9, big / 2 + 5000000);
        }
        ek_arena_reset(a, mark);
        CHECK(keep[0] == 7 && keep[big - 1] == 7);
    }
    ek_arena_reset(a, 0);
    CHECK(ek_arena_mark(a) == 0);
    ek_arena_free(a);
}

static void an_empty_arena_keeps_one_chunk_and_uses_it_from_its_start(void) {
    ek_arena *a = ek_arena_new();
    for (int i = 0; i < 20; i++) CHECK(ek_arena_alloc(a, 300000, 1) != NULL);
    ek_arena_reset(a, 0);
    const size_t held = ek_arena_bytes(a);
    for (int round = 0; round < 50; round++) {
        CHECK(ek_arena_alloc(a, held, 1) != NULL);
        CHECK(ek_arena_bytes(a) == held);
        ek_arena_reset(a, 0);
    }
    ek_arena_free(a);
}

static void sizes_that_overflow_are_refused(void) {
    ek_arena *a = ek_arena_new();
    CHECK(ek_arena_alloc(a, SIZE_MAX, 2) == NULL);
    CHECK(ek_arena_alloc(a, SIZE_MAX / 2, 1) == NULL);
    CHECK(ek_arena_f32(a, SIZE_MAX / 4 + 1) == NULL);
    CHECK(ek_arena_f64(a, SIZE_MAX / 8 + 1) == NULL);
    CHECK(ek_arena_bytes(a) == 0);
    CHECK(ek_arena_f32(a, 10) != NULL); /* and the arena goes on */
    ek_arena_free(a);
    CHECK(ek_aligned_alloc(SIZE_MAX) == NULL);
    CHECK(ek_aligned_alloc(SIZE_MAX / 2) == NULL);
}

static void aligned_memory_of_any_size(void) {
    const size_t sizes[] = {0, 1, 63, 64, 65, (2u << 20) - 1, 2u << 20, (2u << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = ek_aligned_alloc(sizes[i]);
        CHECK(p != NULL && (uintptr_t)p % 64 == 0);
        if (sizes[i]) memset(p, 1, sizes[i]);
        ek_aligned_free(p);
    }
    ek_aligned_free(NULL);
    ek_arena_free(NULL);
    ek_arena_return(NULL);
}

static void random_use_against_a_shadow(void) {
    enum { DEPTH = 40 };
    ek_arena *a = ek_arena_new();
    struct {
        unsigned char *p;
        size_t n, mark;
        unsigned char fill;
    } live[DEPTH];
    int depth = 0;
    uint32_t s = 12345;
    for (int step = 0; step < 20000; step++) {
        s ^= s << 13, s ^= s >> 17, s ^= s << 5;
        if (depth < DEPTH && s % 3) {
            const size_t n = s % 11 == 0 ? s % 900000 : s % 3000;
            live[depth].mark = ek_arena_mark(a);
            live[depth].p = ek_arena_alloc(a, n, 1);
            live[depth].n = n;
            live[depth].fill = (unsigned char)step;
            CHECK(live[depth].p != NULL);
            memset(live[depth].p, live[depth].fill, n);
            depth++;
        } else if (depth > 0) {
            const int to = (int)(s % (uint32_t)depth);
            for (int i = 0; i < depth; i++)
                if (live[i].n)
                    CHECK(live[i].p[0] == live[i].fill && live[i].p[live[i].n - 1] == live[i].fill);
            ek_arena_reset(a, live[to].mark);
            depth = to;
        }
    }
    ek_arena_free(a);
}

TEST_MAIN({"blocks are aligned and apart", blocks_are_aligned_and_apart},
          {"growth does not move what was given out", growth_does_not_move_what_was_given_out},
          {"reset to a mark gives the same place again",
           reset_to_a_mark_gives_the_same_place_again},
          {"what lies below a mark survives a reset", what_lies_below_a_mark_survives_a_reset},
          {"an empty arena keeps one chunk",
           an_empty_arena_keeps_one_chunk_and_uses_it_from_its_start},
          {"sizes that overflow are refused", sizes_that_overflow_are_refused},
          {"aligned memory of any size", aligned_memory_of_any_size},
          {"random use against a shadow", random_use_against_a_shadow})
