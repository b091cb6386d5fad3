#!/bin/sh
# Made the demo certificates in this folder, once. They protect nothing: anybody can read the keys.
# The authorities and all certificates are valid from 2024 to 2054, except `expired`, which was valid for 2024 only.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
authority() {
    mkdir "$work/$1"
    : > "$work/$1/index"
    printf '[ca]\ndefault_ca=c\n[c]\nnew_certs_dir=%s\ndatabase=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\nCN=supplied\norganizationName=optional\n[authority]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,digitalSignature\n[leaf]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n' \
        "$work/$1" "$work/$1/index" > "$work/$1/conf"
    key "$1"
    openssl req -new -key "$1.key" -subj "/CN=midwatch-demo-$1" -out "$work/csr"
    openssl ca -batch -config "$work/$1/conf" -selfsign -keyfile "$1.key" -in "$work/csr" -extensions authority \
        -startdate 20240101000000Z -enddate 20540101000000Z -notext -out "$1.crt"
}
leaf() {
    key "$2"
    openssl req -new -key "$2.key" -subj "/CN=midwatch-demo-$2" -out "$work/csr"
    openssl ca -batch -config "$work/$1/conf" -cert "$1.crt" -keyfile "$1.key" -in "$work/csr" -extensions leaf \
        -startdate 20240101000000Z -enddate "$3" -notext -out "$2.crt"
}
authority ca
authority other
leaf ca server 20540101000000Z
leaf ca client 20540101000000Z
leaf ca expired 20250101000000Z
rm -f ca.key other.key
