#include "ekpy.h"
#include "ek_dsp.h"

static PyObject *py_zscore(PyObject *mod, PyObject *const *args, Py_ssize_t nargs, PyObject *kw) {
    static const ekpy_sig sig = {
        "zscore", {"x", "out", "threads", NULL},
         1
    };
    PyObject *a[EKPY_MAX_ARGS];
    PyArrayObject *x = NULL, *out = NULL;
    size_t threads = 0;
    ek_status st;
    (void)mod;
    if (ekpy_bind(&sig, args, nargs, kw, a) < 0) return NULL;
    if (ekpy_size(&sig, a[2], "threads", 0, &threads) < 0) return NULL;
    if ((x = ekpy_in(&sig, a[0], NPY_FLOAT, 1, NPY_MAXDIMS, "x")) == NULL) goto done;
    const int nd = PyArray_NDIM(x);
    if ((out = ekpy_out(&sig, a[1], NPY_FLOAT, nd, PyArray_DIMS(x), "out")) == NULL) goto done;
    EKPY_RUN(st, threads,
             ek_dsp_zscore_f32(PyArray_DATA(x), ekpy_dims(x, 0, nd - 1), ekpy_dims(x, nd - 1, nd),
                               PyArray_DATA(out)));
    if (st != EK_OK) {
        Py_CLEAR(out);
        ekpy_raise(st, &sig);
    }
done:
    Py_XDECREF((PyObject *)x);
    return (PyObject *)out;
}

PyMethodDef ekpy_dsp_methods[] = {
    EKPY_METHOD("zscore", py_zscore),
    {NULL, NULL, 0, NULL},
};
