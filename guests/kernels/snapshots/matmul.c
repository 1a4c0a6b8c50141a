// One exported matrix product without a C library: what snapshot tests of generated code compile.
__attribute__((export_name("matmul"))) void matmul(int n, double *out, const double *left, const double *right) {
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n; k++) {
            double factor = left[i * n + k];
            for (int j = 0; j < n; j++) {
                out[i * n + j] += factor * right[k * n + j];
            }
        }
    }
}
