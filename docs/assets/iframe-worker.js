/* Browsers start no worker for a page that was opened as a file. There the search runs in a hidden frame instead, which
   answers as a worker does; the theme's search asks for the name IFrameWorker to know that it is in one. */
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      const inner = frame.contentWindow
      const load = address =>
        new Promise((resolve, reject) => {
          const script = frame.contentDocument.createElement("script")
          script.src = address
          script.onload = resolve
          script.onerror = () => reject(new Error(`${address} cannot be read`))
          frame.contentDocument.body.appendChild(script)
        })
      inner.importScripts = (...addresses) => addresses.reduce((before, next) => before.then(() => load(next)), Promise.resolve())
      inner.postMessage = data => {
        const message = new MessageEvent("message", { data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      }
      this.frame = frame
      this.ready = load(url)
    }
    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {
      this.frame.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
