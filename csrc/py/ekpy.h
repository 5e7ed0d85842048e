/* ekpy.h: what every binding uses. Only csrc/py includes Python.h or NumPy.
 *   arguments  ekpy_sig, ekpy_bind, ekpy_size ekpy_double ekpy_bool ekpy_choice
 *   arrays     ekpy_in, ekpy_float_type, ekpy_out, ekpy_no_overlap, ekpy_same_dim
 *   calls      EKPY_RUN (GIL released, Ctrl-C polled), ekpy_raise
 * Helpers return -1 or NULL with a Python exception set; messages start with the function's name.
 */
#ifndef EKPY_H
#define EKPY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#ifndef EKPY_IMPORT_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>
#include "ek_core.h"

enum { EKPY_MAX_ARGS = 20 };

typedef struct {
    const char *name;                /* as the user calls it, without the module */
    const char *args[EKPY_MAX_ARGS]; /* argument names in order, NULL-terminated */
    Py_ssize_t required;             /* how many of them must come */
} ekpy_sig;

/* Fill a[] with borrowed references by position and keyword; absent or None optional ones are NULL.
 */
int ekpy_bind(const ekpy_sig *sig, PyObject *const *args, Py_ssize_t nargs, PyObject *kw,
              PyObject **a);

/* Scalars. A NULL object leaves *out as it is (the default). bool is refused where a number is
 * wanted. */
int ekpy_size(const ekpy_sig *sig, PyObject *o, const char *arg, size_t min, size_t *out);
int ekpy_double(const ekpy_sig *sig, PyObject *o, const char *arg, double *out); /* finite */
int ekpy_bool(const ekpy_sig *sig, PyObject *o, const char *arg, int *out);
/* One of the strings in names (NULL-terminated); *out is its index. */
int ekpy_choice(const ekpy_sig *sig, PyObject *o, const char *arg, const char *const *names,
                int *out);

/* An aligned, native, C-contiguous array of `type` (NPY_FLOAT or NPY_DOUBLE) with ndim in [ndmin,
 * ndmax]: a new reference, the object itself where it already fits. Integers and other float widths
 * are converted; bool, complex, object, text and dates are refused with a TypeError. The input is
 * never modified. */
PyArrayObject *ekpy_in(const ekpy_sig *sig, PyObject *o, int type, int ndmin, int ndmax,
                       const char *arg);
/* Sample indices: int64 arrays of nd dimensions alone; C-contiguous, a new reference. */
PyArrayObject *ekpy_samples(const ekpy_sig *sig, PyObject *o, int nd, const char *arg);
/* NPY_DOUBLE if the array-like holds float64 (or is a list of Python floats), else NPY_FLOAT. -1 on
 * error. */
int ekpy_float_type(const ekpy_sig *sig, PyObject *o, const char *arg);
/* out= : NULL makes a new C-order array; otherwise exact type and shape, writeable, C-contiguous,
 * aligned. New reference. */
PyArrayObject *ekpy_out(const ekpy_sig *sig, PyObject *o, int type, int nd, const npy_intp *shape,
                        const char *arg);
int ekpy_no_overlap(const ekpy_sig *sig, PyArrayObject *out, PyArrayObject *in, const char *arg);
int ekpy_same_dim(const ekpy_sig *sig, PyArrayObject *x, int dx, PyArrayObject *y, int dy,
                  const char *what);
/* Product of dimensions first..last-1. */
size_t ekpy_dims(PyArrayObject *x, int first, int last);

/* An exception of the EcgkitError tree, by its class name in ecgkit.errors ("LayoutError", ...).
 * Always returns -1. */
int ekpy_error(const char *class_name, const char *format, ...);
/* The exception for a status; EK_EINTR keeps the one the signal handler set. */
void ekpy_raise(ek_status st, const ekpy_sig *sig);

/* The GIL is released and Ctrl-C is polled while expr runs; threads 0 = the process setting. */
int ekpy_poll_signals(void *thread_state);
#define EKPY_RUN(st, threads, expr)                                                                \
    do {                                                                                           \
        PyThreadState *ekpy_ts_ = PyEval_SaveThread();                                             \
        ek_scope ekpy_scope_;                                                                      \
        ek_scope_enter(&ekpy_scope_, (threads), ekpy_poll_signals, &ekpy_ts_);                     \
        (st) = (expr);                                                                             \
        ek_scope_leave(&ekpy_scope_);                                                              \
        PyEval_RestoreThread(ekpy_ts_);                                                            \
    } while (0)

#define EKPY_FAST(f) ((PyCFunction)(void (*)(void))(f))
#define EKPY_METHOD(name, f)                                                                       \
    { name, EKPY_FAST(f), METH_FASTCALL | METH_KEYWORDS, NULL }

/* One table per domain, listed in module.c. */
extern PyMethodDef ekpy_metric_methods[], ekpy_metric_decisions_methods[],
    ekpy_metric_curve_methods[], ekpy_metric_gaussian_methods[], ekpy_metric_signal_methods[];
extern PyMethodDef ekpy_filter_methods[], ekpy_beats_methods[];
extern PyMethodDef ekpy_waves_methods[], ekpy_hrv_methods[];
extern PyMethodDef ekpy_median_methods[], ekpy_fft_methods[];
extern PyMethodDef ekpy_lora_methods[], ekpy_proto_methods[];
extern PyMethodDef ekpy_core_methods[], ekpy_dsp_methods[], ekpy_wavelet_methods[],
    ekpy_nn_methods[], ekpy_io_methods[];

#endif
