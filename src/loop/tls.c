#include "loop/tls.h"

#include "base/check.h"
#include "base/mem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct tls_context {
    SSL_CTX *ssl_ctx;
};

struct tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    const char *problem;
};

struct tls_context *tls_context_new_client(void)
{
    struct tls_context *ctx = mem_alloc(sizeof *ctx);

    ctx->ssl_ctx = SSL_CTX_new(TLS_client_method());
    CHECK(ctx->ssl_ctx != NULL);
    CHECK(SSL_CTX_set_min_proto_version(ctx->ssl_ctx, TLS1_2_VERSION) == 1);
    SSL_CTX_set_verify(ctx->ssl_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx->ssl_ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx->ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* When there are no authorities at all, every peer is refused later. */
    if (SSL_CTX_set_default_verify_paths(ctx->ssl_ctx) != 1)
        ERR_clear_error();
    return ctx;
}

void tls_context_free(struct tls_context *ctx)
{
    if (ctx == NULL)
        return;
    SSL_CTX_free(ctx->ssl_ctx);
    mem_free(ctx);
}

struct tls *tls_new_client(struct tls_context *ctx, struct str host, bool literal)
{
    struct tls *t = mem_zalloc(sizeof *t);
    char *name = str_dupz(host);
    X509_VERIFY_PARAM *param;

    t->ssl = SSL_new(ctx->ssl_ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    CHECK(t->ssl != NULL && t->in != NULL && t->out != NULL);
    BIO_set_mem_eof_return(t->in, -1); /* empty means later, not the end */
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    param = SSL_get0_param(t->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* A name that OpenSSL refuses can be nobody's: the handshake then fails. */
    if (literal ? X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1
                : SSL_set1_host(t->ssl, name) != 1 || SSL_set_tlsext_host_name(t->ssl, name) != 1)
        t->problem = "the host's name cannot be verified";
    mem_free(name);
    ERR_clear_error();
    return t;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    mem_free(t);
}

void tls_feed(struct tls *t, const char *bytes, size_t n)
{
    while (n > 0) {
        int step = n > INT_MAX ? INT_MAX : (int)n;

        CHECK(BIO_write(t->in, bytes, step) == step);
        bytes += step;
        n -= (size_t)step;
    }
}

/* What went wrong in the last call; static text. */
static void note_problem(struct tls *t)
{
    long verified = SSL_get_verify_result(t->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    if (t->problem)
        ;
    else if (verified != X509_V_OK)
        t->problem = X509_verify_cert_error_string(verified);
    else
        t->problem = reason ? reason : "the peer broke the protocol";
    ERR_clear_error();
}

static bool wants_more(struct tls *t, int result)
{
    int error = SSL_get_error(t->ssl, result);

    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

enum err tls_handshake(struct tls *t)
{
    int result;

    if (t->problem)
        return ERR_DENIED;
    ERR_clear_error();
    result = SSL_do_handshake(t->ssl);
    if (result == 1)
        return OK;
    if (wants_more(t, result))
        return ERR_BUSY;
    note_problem(t);
    return ERR_DENIED;
}

ptrdiff_t tls_read(struct tls *t, char *out, size_t size)
{
    size_t n = 0;
    int result;

    ERR_clear_error();
    result = SSL_read_ex(t->ssl, out, size, &n);
    if (result == 1)
        return (ptrdiff_t)n;
    if (wants_more(t, result))
        return 0;
    if (!tls_is_ended(t))
        note_problem(t);
    ERR_clear_error();
    return -1;
}

enum err tls_write(struct tls *t, struct str plain)
{
    size_t n = 0;

    if (plain.len == 0)
        return OK;
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, plain.ptr, plain.len, &n) == 1 && n == plain.len)
        return OK;
    note_problem(t);
    return ERR_CLOSED;
}

void tls_take_output(struct tls *t, struct buf *out)
{
    char *bytes;
    long n = BIO_get_mem_data(t->out, &bytes);

    if (n <= 0)
        return;
    buf_add(out, bytes, (size_t)n);
    BIO_reset(t->out);
}

bool tls_is_ended(const struct tls *t)
{
    return (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

const char *tls_problem(const struct tls *t)
{
    return t->problem ? t->problem : "TLS failed";
}
