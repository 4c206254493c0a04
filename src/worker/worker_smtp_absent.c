/*
 * worker_smtp_absent.c
 *		Stands in for the SMTP client until it is there; goes away with it.
 */
#include "worker/worker_smtp.h"
__attribute__((weak)) void ec_smtp_settings(const EcEndpoint *e, EcSmtpSettings *s){memset(s,0,sizeof *s);}
__attribute__((weak)) EcSmtpPool *ec_smtp_pool_create(CURLM *m, struct EcPoll *p, const EcSmtpSettings *s, EcSmtpCallback c, void *a){return NULL;}
__attribute__((weak)) void ec_smtp_pool_destroy(EcSmtpPool *p){}
__attribute__((weak)) bool ec_smtp_pool_submit(EcSmtpPool *p, const EcSmtpMail *m){return false;}
__attribute__((weak)) void ec_smtp_pool_run(EcSmtpPool *p){}
__attribute__((weak)) long ec_smtp_pool_timeout(const EcSmtpPool *p){return -1;}
__attribute__((weak)) int ec_smtp_pool_unfinished(const EcSmtpPool *p){return 0;}
__attribute__((weak)) int ec_smtp_pool_room(const EcSmtpPool *p){return 10;}
__attribute__((weak)) int ec_smtp_pool_connections(const EcSmtpPool *p){return 0;}
