/* Process settings: threads, instruction sets, build facts. */
#include "ekpy.h"
#include "ek_fft.h"
#include "ek_linalg.h"

static PyObject *py_threads(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "set_threads", {"n", NULL},
         0
    };
    PyObject *a[EKPY_MAX_ARGS];
    size_t n = 0;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[0], "n", 0, &n) < 0)
        return NULL;
    if (nargs + (kw ? PyTuple_Size(kw) : 0) > 0) ek_threads_set(n);
    return PyLong_FromSize_t(ek_threads_get());
}

static PyObject *py_simd_mask(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kw) {
    static const ekpy_sig sig = {
        "simd_mask", {"mask", NULL},
         0
    };
    PyObject *a[EKPY_MAX_ARGS];
    size_t mask = 0;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[0], "mask", 0, &mask) < 0)
        return NULL;
    if (a[0] != NULL) ek_cpu_use((unsigned)mask);
    return Py_BuildValue("(II)", ek_cpu_available(), ek_cpu_active());
}

static PyObject *py_build_info(PyObject *mod, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kw) {
    static const ekpy_sig sig = {"build_info", {NULL}, 0};
    PyObject *a[EKPY_MAX_ARGS];
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    return Py_BuildValue("{s:s,s:s,s:s,s:s}", "compiler", EK_BUILD_INFO, "blas", ek_linalg_config(),
                         "blas_core", ek_linalg_corename(), "fft", ek_fft_version());
}

static ek_status spin(void *ctx, size_t begin, size_t end, ek_arena *tmp) {
    volatile double sum = 0.0;
    (void)tmp;
    for (size_t i = begin; i < end; i++)
        for (size_t k = 0; k < 1000000; k++) sum += (double)k;
    *(volatile double *)ctx = sum;
    return EK_OK;
}

/* Busy work of n pieces of about a millisecond each: what the tests of threads and Ctrl-C run. */
static PyObject *py_spin(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "spin", {"n", "threads", NULL},
         1
    };
    PyObject *a[EKPY_MAX_ARGS];
    size_t n = 0, threads = 0;
    double sink = 0.0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0 || ekpy_size(&sig, a[0], "n", 0, &n) < 0 ||
        ekpy_size(&sig, a[1], "threads", 0, &threads) < 0)
        return NULL;
    EKPY_RUN(st, threads, ek_parallel_for(n, 1, spin, &sink));
    if (st != EK_OK) {
        ekpy_raise(st, &sig);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyMethodDef ekpy_core_methods[] = {
    EKPY_METHOD("threads", py_threads),
    EKPY_METHOD("simd_mask", py_simd_mask),
    EKPY_METHOD("build_info", py_build_info),
    EKPY_METHOD("spin", py_spin),
    {NULL, NULL, 0, NULL},
};
