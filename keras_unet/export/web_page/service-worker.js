/* Keeps what the page was made of, so that it works offline after the first load. */

const CACHE = "keras-unet-page:" + self.registration.scope;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

/** Whether the address can only ever mean the same bytes: it has a version in it. */
function isPinned(url) {
  return /@\d+\.\d+\.\d+\//.test(url.pathname) || url.searchParams.has("sha256");
}

async function kept(request) {
  return (await caches.open(CACHE)).match(request, { ignoreVary: true });
}

async function answer(request) {
  if (isPinned(new URL(request.url))) return (await kept(request)) ?? fetch(request);
  try {
    return await fetch(request);
  } catch (error) {
    const old = await kept(request);
    if (old) return old;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(answer(event.request));
});

/** Keeps these addresses and no others: one export as a whole, never two mixed. */
async function keep(addresses) {
  const cache = await caches.open(CACHE);
  const wanted = new Set(addresses);
  const come = [];
  for (const address of wanted) {
    if (isPinned(new URL(address)) && (await cache.match(address))) continue;
    const response = await fetch(new Request(address, { mode: "cors", cache: "no-cache" }));
    if (!response.ok) throw new Error(`${address}: ${response.status}`);
    come.push([address, response]);
  }
  await Promise.all(come.map(([address, response]) => cache.put(address, response)));
  for (const request of await cache.keys()) {
    if (!wanted.has(request.url)) await cache.delete(request);
  }
}

self.addEventListener("message", (event) => {
  const done = keep(event.data).then(() => "kept", (error) => String(error));
  event.waitUntil(done.then((said) => event.source.postMessage(said)));
});
