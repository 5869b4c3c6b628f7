export const buildNotices = () => ({ outputs: [] })
