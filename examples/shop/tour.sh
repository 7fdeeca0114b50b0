#!/usr/bin/env bash
# A tour of the shop with curl. Start it first, in another terminal:
#
#   cargo run --release -- dev examples/shop
#
# then run this script: it shows each request and its answer, and stops at the first answer that is
# not what it should be. Every run uses ids of its own, so it can be run again and again.
#
#   SHOP=http://localhost:7080   where the shop is
#   RUN=...                      ends every id of this run
set -euo pipefail

SHOP=${SHOP:-http://localhost:7080}
RUN=${RUN:-$(date +%s)-$$}
ACTORS=$SHOP/v1/actors

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }

# request METHOD URL [curl arguments]: shows the request and the answer, leaves them in $status and $body.
request() {
  local method=$1 url=$2 answer shown arguments=()
  shift 2
  shown="curl -X $method '$url'"
  while (($# > 1)) && [[ $1 == -* ]]; do
    shown+=" $1 '$2'"
    arguments+=("$1" "$2")
    shift 2
  done
  printf '$ %s\n' "$shown"
  answer=$(curl --silent --show-error --max-time 60 -X "$method" -w '\n%{http_code}' "${arguments[@]}" "$url") ||
    fail "no answer from $SHOP; start the shop there (cargo run --release -- dev examples/shop) and try again"
  status=${answer##*$'\n'}
  body=${answer%$'\n'*}
  printf '%s %s\n' "$status" "$body"
}

# send TYPE/ID/COMMAND PAYLOAD [curl arguments]: one command.
send() {
  local path=$1 payload=$2
  shift 2
  request POST "$ACTORS/$path" -d "$payload" "$@"
}

get() { request GET "$ACTORS/$1"; }

# expect STATUS [TEXT...]: the last answer has this status and holds each of these texts.
expect() {
  local compact wanted
  [[ $status == "$1" ]] || fail "the status is $status, not $1"
  shift
  compact=$(printf '%s' "$body" | tr -d ' \n')
  for wanted in "$@"; do
    [[ $compact == *"$wanted"* ]] || fail "the answer does not hold $wanted"
  done
}

fail() {
  printf '\n\033[31mThe tour stops: %s.\033[0m\n' "$*" >&2
  exit 1
}

lamp=lamp-$RUN
ann=ann-$RUN
first=o1-$RUN
late=o2-$RUN
many=o3-$RUN
gone=o4-$RUN

order() { # QUANTITY [more members of the payload]
  printf '{"userId":"%s","productId":"%s","quantity":%s,"unitPriceCents":4900%s}' "$ann" "$lamp" "$1" "${2:-}"
}

say "A customer, a product at 49.00, and three of it in stock"
send "User/$ann/register" '{"email":"ann@example.com","name":"Ann"}'
expect 200 '"events":["UserRegistered"]'
send "Product/$lamp/create" '{"name":"Lamp","priceCents":4900}'
expect 200 '"events":["ProductCreated"]'
send "Inventory/$lamp/receive" '{"quantity":3}'
expect 200 '"available":3'

say "Ann orders two. The order asks the product and the stock; we wait until both have said yes"
send "Order/$first/place?until=OrderReady,OrderCancelled&wait=10s" "$(order 2)" -H "Idempotency-Key: place-$first"
expect 200 '"totalCents":9800' '"OrderReady"'
get "Inventory/$lamp/query/available"
expect 200 '"available":1' '"reserved":2'

say "The network failed and her browser sends it again: same key, same answer, nothing happens twice"
send "Order/$first/place" "$(order 2)" -H "Idempotency-Key: place-$first"
expect 200 '"totalCents":9800'
get "Inventory/$lamp/query/available"
expect 200 '"available":1' '"reserved":2'

say "Another order takes the last one, and is not paid. It expires (here after 2 seconds) and the stock comes back"
send "Order/$late/place?until=StockReturned&wait=20s" "$(order 1 ',"expiresAfter":"2s"')"
expect 200 '"StockReturned"'
get "Order/$late/query/summary"
expect 200 '"status":"expired"'
get "Inventory/$lamp/query/available"
expect 200 '"available":1' '"reserved":2'

say "More than there is: the stock refuses, and the order cancels itself"
send "Order/$many/place?until=OrderReady,OrderCancelled&wait=10s" "$(order 99)"
expect 200 '"OrderCancelled"'
get "Order/$many/query/summary"
expect 200 '"status":"cancelled"' '"reason":"OutOfStock"'

say "Ann pays. The order stops its timer, the lamps leave the stock, and then the payment is settled"
send "Payment/p1-$RUN/authorize" "{\"orderId\":\"$first\",\"amountCents\":9800}"
expect 200 '"events":["PaymentAuthorized"]'
send "Payment/p1-$RUN/capture?until=PaymentSettled,PaymentRefunded&wait=10s" '{}'
expect 200 '"PaymentSettled"'
get "Order/$first/query/summary"
expect 200 '"status":"paid"'

say "Paying the order that expired: the order refuses, and the payment is refunded"
send "Payment/p2-$RUN/authorize" "{\"orderId\":\"$late\",\"amountCents\":4900}"
expect 200
send "Payment/p2-$RUN/capture?until=PaymentSettled,PaymentRefunded&wait=10s" '{}'
expect 200 '"PaymentRefunded"'

say "The product is delisted: an order that comes later is cancelled, and what it reserved comes back"
send "Product/$lamp/delist" '{}'
expect 200 '"events":["Delisted"]'
send "Order/$gone/place?until=StockReturned&wait=10s" "$(order 1)"
expect 200 '"StockReturned"'
get "Order/$gone/query/summary"
expect 200 '"status":"cancelled"' '"reason":"Delisted"'

say "One lamp is left: three came, two were sold, nothing was lost or counted twice"
get "Inventory/$lamp/query/available"
expect 200 '"available":1' '"reserved":0'

say "What is wrong is refused, with a reason, and changes nothing"
send "Order/$first/place" "$(order 1)"
expect 409 '"AlreadyPlaced"' '"outcome":"refused"'
send "Order/$first/expire" '{}'
expect 404
send "Order/o5-$RUN/place" "$(order 0)"
expect 400

say "The history of the order that was paid"
get "Order/$first/events"
expect 200 '"OrderPlaced"' '"SaleConfirmed"' '"StockReserved"' '"OrderReady"' '"OrderPaid"' '"StockCommitted"'

printf '\n\033[32mThe tour is complete; every answer was as it should be.\033[0m\n'
